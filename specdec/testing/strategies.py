"""Hypothesis strategies for whatever a plugin may be given. Needs hypothesis."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from specdec.chance import Probs
from specdec.options import Sampling
from specdec.testing.growth import Action, Growth
from specdec.testing.instances import Counts, Instance, Path
from specdec.testing.shapes import Shape

__all__ = ["batches", "counts", "float_probs", "growths", "instances", "pairs", "prompts", "samplings", "shapes"]

Draw = Callable[[SearchStrategy[Any]], Any]


def counts(vocab: int) -> SearchStrategy[Counts]:
    """Give probabilities in whole numbers, with zeros, ties and certainties."""
    row = st.lists(st.integers(0, 7), min_size=vocab, max_size=vocab).filter(any)
    certain = st.integers(0, vocab - 1).map(lambda token: [int(token == other) for other in range(vocab)])
    near = st.integers(0, vocab - 1).map(lambda token: [2**20 + int(token == other) for other in range(vocab)])
    return st.one_of(row, certain, near).map(tuple)


@st.composite
def pairs(draw: Draw, vocab: int) -> tuple[Any, Any]:
    """Give probabilities of target and drafter: unrelated, equal, nearly equal, or with nothing in common."""
    p = draw(counts(vocab))
    kind = draw(st.sampled_from(("any", "any", "equal", "near", "disjoint")))
    if kind == "equal":
        return p, p
    if kind == "near":
        scaled = [2**20 * count for count in p]
        scaled[scaled.index(max(scaled))] -= 1
        return p, tuple(scaled)
    apart = tuple(int(count == 0) for count in p)
    return (p, apart) if kind == "disjoint" and any(apart) else (p, draw(counts(vocab)))


@st.composite
def instances(draw: Draw, vocab: int, exact: bool = True) -> Instance:
    """Give probabilities that differ from path to path, and placed tokens that may repeat a sibling."""
    table = draw(st.lists(pairs(vocab), min_size=3, max_size=6))
    placed = draw(st.lists(st.integers(0, vocab - 1), min_size=1, max_size=4))

    def at(path: Path) -> int:
        return sum((place + 2) * (token + 1) for place, token in enumerate(path))

    return Instance(
        vocab,
        lambda path: table[at(path) % len(table)][0],
        lambda path: table[at(path) % len(table)][1],
        lambda path, siblings, tokens: placed[(at(path) + at(tokens)) % len(placed)],
        exact,
    )


@st.composite
def shapes(draw: Draw, largest: int) -> Shape:
    """Give trees of any shape, in any topological order, of any mixture of placed and drawn nodes."""
    size = draw(st.integers(0, largest))
    parents = tuple(draw(st.integers(0, node)) for node in range(size))
    return Shape(parents, tuple(draw(st.booleans()) for _ in range(size)))


@st.composite
def growths(draw: Draw, largest: int) -> Growth:
    """Give adaptive ways to grow: at each turn, what is done depends on all tokens so far."""
    action = st.builds(Action, st.integers(0, largest), st.sampled_from(("draw", "draw", "place", "stop")))
    turns = st.lists(st.lists(action, min_size=1, max_size=3).map(tuple), min_size=1, max_size=largest)
    return Growth(tuple(draw(turns)))


@st.composite
def float_probs(draw: Draw, vocab: int, dtype: Any = np.float32) -> Probs:
    """Give probabilities as floats, with denormal numbers, zeros, certainties and values that hardly differ."""
    tiny = float(np.finfo(dtype).smallest_subnormal)
    value = st.sampled_from((0.0, tiny, 8 * tiny, 1e-30, 1e-7, 0.25, 0.5, 1.0, 1.0 - 1e-7, 1.0 + 1e-7))
    row = np.array(draw(st.lists(value, min_size=vocab, max_size=vocab).filter(any)), dtype=np.float64)
    normalised: Probs = (row / row.sum()).astype(dtype)
    return normalised


def samplings() -> SearchStrategy[Sampling]:
    """Give ways to sample: greedy, and every option that shapes the distribution."""
    options = {
        "temperature": st.sampled_from((0.0, 0.3, 0.7, 1.0, 1.7)),
        "top_k": st.none() | st.integers(1, 8),
        "top_p": st.none() | st.sampled_from((0.1, 0.5, 0.9, 1.0)),
        "min_p": st.none() | st.sampled_from((0.0, 0.05, 0.5, 1.0)),
        "repetition_penalty": st.sampled_from((0.8, 1.0, 1.0, 1.3)),
        "seed": st.integers(0, 2**64 - 1),
    }
    return st.builds(Sampling, **options)


def prompts(vocab: int, longest: int = 12) -> SearchStrategy[list[int]]:
    """Give prompts, among them some of one token, and of the same token throughout."""
    token = st.integers(0, vocab - 1)
    same = st.tuples(token, st.integers(1, longest)).map(lambda pair: [pair[0]] * pair[1])
    return st.one_of(st.lists(token, min_size=1, max_size=longest), same)


def batches(vocab: int, count: int = 4, longest: int = 12) -> SearchStrategy[list[list[int]]]:
    """Give ragged batches of prompts."""
    return st.lists(prompts(vocab, longest), min_size=1, max_size=count)
