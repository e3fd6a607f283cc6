"""Where nothing can be enumerated: a vocabulary of 32k, temperature and top-p, and samples that may end at any time."""

import numpy as np
import pytest
import torch

from specdec import Sampling, sampling
from specdec.chance import Dice, Keyed
from specdec.rules import Match, Rejection, Traversal
from specdec.testing.evidence import Evidence, bins
from specdec.tree import Tree

VOCAB = 32_000
OPTIONS = Sampling(temperature=0.7, top_p=0.9)


def laws(position: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A target's law, cut by top-p, and a drafter's that ranks the likely tokens the other way round."""
    generator = torch.Generator().manual_seed(100 * seed + position)
    logits = 2.5 * torch.randn(VOCAB, generator=generator)
    p = sampling.law(OPTIONS, torch.zeros(1, dtype=torch.int64), logits)
    top = torch.from_numpy(p).topk(32).indices
    draft = logits.clone()
    draft[top] = logits[top.flip(0)]
    return p, (draft / OPTIONS.temperature).softmax(-1).numpy()


def evidence(rule, position: int, samples: int, recorded=lambda q: q) -> Evidence:
    """Collect what a rule says first after two drawn children, one row of laws per position."""
    p, q = laws(position)
    groups = bins(p, q)
    found = Evidence(np.bincount(groups, weights=p, minlength=16).tolist())
    for seed in range(samples):
        dice = Dice(Keyed(), seed, position)
        tree = Tree.root(torch.tensor([0])).draw(torch.tensor([[2]]), torch.from_numpy(q)[None, None].clone(), [dice])
        tree.laws[0, 0][:] = recorded(q)
        walk = rule.walk(tree, 0, lambda node: p.copy(), dice)
        first = int(tree.tokens[0, walk.path[0]]) if walk.path else walk.token
        found.add(int(groups[first]))
        if found.rejects():
            break
    return found


@pytest.mark.parametrize("rule", [Match(), Rejection(), Traversal()], ids=lambda rule: type(rule).__name__)
def test_rules_are_not_refuted(rule):
    together = [evidence(rule, position, 300).log_value for position in range(2)]

    assert max(together) < 9 * np.log(10)


def test_a_drafter_that_records_another_law_is_refuted():
    """Drawn from the whole law, recorded as if top-p had cut it."""

    def cut(q):
        return np.where(q >= np.partition(q, -200)[-200], q, 1e-9).astype(np.float32)

    def sharper(q):
        return (cut(q) ** 1.5 / (cut(q) ** 1.5).sum()).astype(np.float32)

    assert evidence(Rejection(), 0, 3000, sharper).rejects()


def test_an_honest_die_is_rarely_doubted():
    """Ville: at any time of looking, a fair law is refuted with probability at most the rate."""
    highest = []
    for seed in range(300):
        found, rolls = Evidence([1] * 6), np.random.default_rng(seed).integers(6, size=600)
        highest.append(-np.inf)
        for number, roll in enumerate(rolls.tolist()):
            found.add(roll)
            if number % 20 == 0:
                highest[-1] = max(highest[-1], found.log_value)

    assert sum(value > np.log(20) for value in highest) <= 300 / 20
    assert max(highest) < 9 * np.log(10)


def test_what_cannot_be_is_refuted_at_once():
    found = Evidence([1, 0])
    found.add(1)

    assert found.rejects()
