"""Where nothing can be enumerated: a vocabulary of 32k, temperature and top-p, and samples that may end at any time."""

import numpy as np
import pytest
import torch
from attrs import evolve

from specdec import Sampling, sampling
from specdec.chance import Dice, Keyed
from specdec.rules import Match, Rejection, Traversal
from specdec.testing.evidence import Evidence, bins
from specdec.tree import Tree

VOCAB = 32_000
OPTIONS = Sampling(temperature=0.7, top_p=0.9)


def probs(position: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A target cut by top-p, and a drafter that ranks the likely tokens the other way round."""
    generator = torch.Generator().manual_seed(100 * seed + position)
    logits = 2.5 * torch.randn(VOCAB, generator=generator)
    p = sampling.probs(OPTIONS, [0], logits)
    top = torch.from_numpy(p).topk(32).indices
    draft = logits.clone()
    draft[top] = logits[top.flip(0)]
    return p, (draft / OPTIONS.temperature).softmax(-1).numpy()


def evidence(rule, position: int, samples: int, recorded=lambda q: q) -> Evidence:
    """Collect the first token that a rule decides after two drawn children, one pair of distributions per position."""
    p, q = probs(position)
    groups = bins(p, q)
    collected = Evidence(np.bincount(groups, weights=p, minlength=16).tolist())
    for seed in range(samples):
        dice = Dice(Keyed(), seed, position)
        tree = evolve(Tree.root(0).draw(0, 2, q, dice), probs={0: recorded(q)})
        walk = rule.walk(tree, lambda node: p.copy(), dice)
        collected.add(int(groups[tree.tokens[walk.path[0]] if walk.path else walk.bonus]))
        if collected.rejects():
            break
    return collected


@pytest.mark.parametrize("rule", [Match(), Rejection(), Traversal()], ids=lambda rule: type(rule).__name__)
def test_rules_are_not_refuted(rule):
    together = [evidence(rule, position, 300).log_value for position in range(2)]

    assert max(together) < 9 * np.log(10)


def test_a_drafter_that_records_other_probabilities_is_refuted():
    """Drawn from the whole distribution, recorded as if top-p had cut it."""

    def cut(q):
        return np.where(q >= np.partition(q, -200)[-200], q, 1e-9).astype(np.float32)

    def sharper(q):
        return (cut(q) ** 1.5 / (cut(q) ** 1.5).sum()).astype(np.float32)

    assert evidence(Rejection(), 0, 3000, sharper).rejects()


def test_an_honest_die_is_rarely_doubted():
    """Ville: at any time of looking, a fair die is refuted with probability at most the rate."""
    highest = []
    for seed in range(300):
        collected, rolls = Evidence([1] * 6), np.random.default_rng(seed).integers(6, size=600)
        highest.append(-np.inf)
        for number, roll in enumerate(rolls.tolist()):
            collected.add(roll)
            if number % 20 == 0:
                highest[-1] = max(highest[-1], collected.log_value)

    assert sum(value > np.log(20) for value in highest) <= 300 / 20
    assert max(highest) < 9 * np.log(10)


def test_what_cannot_be_is_refuted_at_once():
    collected = Evidence([1, 0])
    collected.add(1)

    assert collected.rejects()
