"""The whole decoder under exhaustive chance: its joint law over several steps is the product of the target's laws."""

from functools import cache

import numpy as np
import pytest
import torch
from attrs import frozen
from specdec.testing.emitted import Emitted

from specdec import Chance, Context, Decoder, Drafter, Frontier, Rule, Sampling, Stop, Target, Tree, TreePolicy, grow
from specdec.policies import Chain, Hybrid, Static
from specdec.rules import Match, Rejection, Traversal
from specdec.testing.exhaustive import enumerate_outcomes
from tests.toys import build

PROMPTS = ([1, 3], [2], [0, 1, 2, 2])
END = 3


@cache
def model():
    return build("llama", vocab_size=4, seed=7)


@frozen
class Bigram(Drafter):
    """Knows what follows a token, in double precision; `likely` tokens at most have a chance."""

    likely: int = 4

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            table = torch.randn(4, 4, dtype=torch.float64)
        table[table < table.topk(self.likely).values[:, -1:]] = -torch.inf

        def score(tree: Tree, frontier: Frontier) -> torch.Tensor:
            return table[frontier.tokens.clamp(min=0)]

        return grow(context, policy, score)


def decode(chance: Chance, rule: Rule, policy: TreePolicy, drafter: Drafter, options: list, stop: Stop):
    target = Target(model(), rule=rule, chance=chance)
    decoder = Decoder(drafter, target, policy, chance=chance)
    return decoder.generate(list(PROMPTS[: len(options)]), options, stop).tokens


@cache
def target_law(prompt: tuple[int, ...], temperature: float, top_k: int | None) -> np.ndarray:
    """What the target says after a prefix, by no code of specdec's."""
    with torch.no_grad():
        logits = model()(torch.tensor([prompt])).logits[0, -1] / temperature
    if top_k:
        logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
    return logits.softmax(-1).numpy()


def error(outcomes, row: int, options: Sampling, length: int) -> float:
    """Compare what a row says, to its end or its limit, with the product of the target's laws."""
    said = Emitted.of((weight, tokens[row]) for weight, tokens in outcomes)
    law = lambda path: target_law((*PROMPTS[row], *path), options.temperature, options.top_k)  # noqa: E731
    assert all(len(tokens) == length or tokens[-1] == END for tokens in said.said)
    return float(said.error(law))


PLACED = [(Match(), Static((2, 1))), (Match(), Chain(3)), (Rejection(), Static((2, 1)))]
DRAWN = [
    (rule, policy)
    for rule in (Match(), Rejection(), Traversal())
    for policy in (Chain(2, sampled=True), Static((2, 1), sampled=True))
]


def named(pair: tuple[Rule, TreePolicy]) -> str:
    return f"{type(pair[0]).__name__}, {pair[1]}"


@pytest.mark.parametrize("row", range(3))
def test_every_text_of_four_tokens(row):
    """A batch of three, of which one is sampled and the others end where they must."""
    options = [Sampling(temperature=0 if other != row else 0.9, seed=other) for other in range(3)]
    run = lambda chance: decode(chance, Match(), Static((2, 1)), Bigram(), options, Stop(4, tokens=(END,)))  # noqa: E731
    outcomes = list(enumerate_outcomes(run))

    assert error(outcomes, row, options[row], 4) < 1e-12


@pytest.mark.parametrize("pair", [*PLACED, *DRAWN, (Rejection(), Hybrid((2, 2)))], ids=named)
def test_every_rule_on_every_kind_of_tree(pair):
    rule, policy = pair
    length = 4
    options = Sampling(temperature=0.9, top_k=2)
    run = lambda chance: decode(chance, rule, policy, Bigram(2), [options], Stop(length, tokens=(END,)))  # noqa: E731
    outcomes = list(enumerate_outcomes(run))

    assert error(outcomes, 0, options, length) < 1e-12


def test_rows_are_independent():
    """Two rows sampled at once: their joint law is the product of their own."""
    options = [Sampling(temperature=0.9, top_k=2, seed=seed) for seed in range(2)]
    run = lambda chance: decode(chance, Rejection(), Chain(1, sampled=True), Bigram(2), options, Stop(2, tokens=()))  # noqa: E731
    outcomes = list(enumerate_outcomes(run))
    together = Emitted.of((weight, one + other) for weight, (one, other) in outcomes)

    def law(path):
        row, said = divmod(len(path), 2)
        return target_law((*PROMPTS[row], *path[len(path) - said :]), 0.9, 2)

    assert float(together.error(law)) < 1e-12


def test_every_text_of_five_tokens():
    """Longer, of the two likeliest tokens at each place, on a drawn tree, with no end token."""
    options = Sampling(temperature=0.9, top_k=2)
    policy, stop = Chain(1, sampled=True), Stop(5, tokens=())
    outcomes = list(enumerate_outcomes(lambda chance: decode(chance, Rejection(), policy, Bigram(2), [options], stop)))

    assert error(outcomes, 0, options, 5) < 1e-12
    assert len({tokens for _, tokens in outcomes}) == 2**5
