"""The whole decoder under exhaustive chance: over several steps, the probability of a text is the target's own."""

from functools import cache

import numpy as np
import pytest
import torch
from attrs import frozen

from specdec import Chance, Context, Decoder, Drafter, Frontier, Rule, Sampling, Stop, Target, Tree, TreePolicy, grow
from specdec.policies import Chain, Hybrid, Static
from specdec.rules import Match, Rejection, Traversal
from specdec.testing.exhaustive import enumerate_outcomes
from specdec.testing.output import Output
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

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            table = torch.randn(4, 4, dtype=torch.float64)
        table[table < table.topk(self.likely).values[:, -1:]] = -torch.inf

        def score(frontier: Frontier) -> torch.Tensor:
            return table[frontier.tokens.clamp(min=0)]

        return grow(context, policy, score)


def decode(chance: Chance, rule: Rule, policy: TreePolicy, drafter: Drafter, options: list, stop: Stop):
    target = Target(model(), rule=rule, chance=chance)
    decoder = Decoder(drafter, target, policy, chance=chance)
    return decoder.generate(list(PROMPTS[: len(options)]), options, stop).tokens


@cache
def target_probs(prompt: tuple[int, ...], temperature: float, top_k: int | None) -> np.ndarray:
    """The target's probabilities after a prefix, by no code of specdec's."""
    with torch.no_grad():
        logits = model()(torch.tensor([prompt])).logits[0, -1] / temperature
    if top_k:
        logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
    return logits.softmax(-1).numpy()


def error(outcomes, number: int, options: Sampling, length: int) -> float:
    """Compare a sequence's texts, to its end or its limit, with the product of the target's probabilities."""
    texts = Output.of((weight, tokens[number]) for weight, tokens in outcomes)
    probs = lambda path: target_probs((*PROMPTS[number], *path), options.temperature, options.top_k)  # noqa: E731
    assert all(len(tokens) == length or tokens[-1] == END for tokens in texts.probs)
    return float(texts.error(probs))


PLACED = [(Match(), Static((2, 1))), (Match(), Chain(3)), (Rejection(), Static((2, 1)))]
DRAWN = [
    (rule, policy)
    for rule in (Match(), Rejection(), Traversal())
    for policy in (Chain(2, sampled=True), Static((2, 1), sampled=True))
]


def named(pair: tuple[Rule, TreePolicy]) -> str:
    return f"{type(pair[0]).__name__}, {pair[1]}"


@pytest.mark.parametrize("length", [3, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", range(3))
def test_every_text_of_a_batch(number, length):
    """A batch of three, of which one is sampled and the others end where they must."""
    options = [Sampling(temperature=0 if other != number else 0.9, seed=other) for other in range(3)]
    run = lambda chance: decode(chance, Match(), Static((2, 1)), Bigram(), options, Stop(length, tokens=(END,)))  # noqa: E731
    outcomes = list(enumerate_outcomes(run))

    assert error(outcomes, number, options[number], length) < 1e-12


@pytest.mark.parametrize("pair", [*PLACED, *DRAWN, (Rejection(), Hybrid((2, 2)))], ids=named)
def test_every_rule_on_every_kind_of_tree(pair):
    rule, policy = pair
    length = 4
    options = Sampling(temperature=0.9, top_k=2)
    run = lambda chance: decode(chance, rule, policy, Bigram(2), [options], Stop(length, tokens=(END,)))  # noqa: E731
    outcomes = list(enumerate_outcomes(run))

    assert error(outcomes, 0, options, length) < 1e-12


def test_sequences_are_independent():
    """Two sequences sampled at once: their joint probability is the product of their own."""
    options = [Sampling(temperature=0.9, top_k=2, seed=seed) for seed in range(2)]
    run = lambda chance: decode(chance, Rejection(), Chain(1, sampled=True), Bigram(2), options, Stop(2, tokens=()))  # noqa: E731
    outcomes = list(enumerate_outcomes(run))
    together = Output.of((weight, one + other) for weight, (one, other) in outcomes)

    def probs(path):
        number, length = divmod(len(path), 2)
        return target_probs((*PROMPTS[number], *path[len(path) - length :]), 0.9, 2)

    assert float(together.error(probs)) < 1e-12


def test_every_text_of_five_tokens():
    """Longer, of the two likeliest tokens at each place, on a drawn tree, with no end token."""
    options = Sampling(temperature=0.9, top_k=2)
    policy, stop = Chain(1, sampled=True), Stop(5, tokens=())
    outcomes = list(enumerate_outcomes(lambda chance: decode(chance, Rejection(), policy, Bigram(2), [options], stop)))

    assert error(outcomes, 0, options, 5) < 1e-12
    assert len({tokens for _, tokens in outcomes}) == 2**5
