"""Does a rule decide on a batch as it decides on each sequence?"""

from collections.abc import Sequence

import numpy as np
import torch
from attrs import evolve
from jaxtyping import Float
from torch import Tensor
from transformers import LogitsProcessor

from specdec.chance import Dice, Keyed, Noise
from specdec.errors import NonFiniteLogits
from specdec.interfaces import Rule, Walk
from specdec.options import Sampling
from specdec.prefix import Prefix
from specdec.testing.guards import described
from specdec.testing.instances import Instance
from specdec.testing.shapes import Shape
from specdec.tree import Tree

VOCAB = 11
SHAPES = (
    Shape((), ()),
    Shape((0, 0, 1, 1, 2), (True, True, True, False, False)),
    Shape((0, 1, 2), (False, False, False)),
    Shape((0, 0, 0, 2), (False, False, False, False)),
    Shape((0, 0), (True, False)),
)
SAMPLINGS = (
    Sampling(),
    Sampling(temperature=1.0, seed=1),
    Sampling(temperature=0.6, top_p=0.8, seed=2),
    Sampling(temperature=1.3, repetition_penalty=1.4, top_k=6, seed=3),
    Sampling(repetition_penalty=1.7, seed=4),
)


def check_decide(rule: Rule) -> None:
    """Compare `decide` with `walk`, on batches of whole sequences and on one where two of them fail.

    Raises:
        AssertionError: the message says of which sequence, and on which tree.
    """
    for seed in range(12):
        trees, logits, prefixes = _batch(seed, torch.float64 if seed % 2 else torch.float32)
        _compare(rule, trees, logits, prefixes, {})
        spoiled, raising = seed % 5, (seed + 2) % 5
        logits[spoiled] = torch.nan
        options = evolve(prefixes[raising].sampling, processors=(_Raising(),))
        prefixes[raising] = evolve(prefixes[raising], sampling=options)
        _compare(rule, trees, logits, prefixes, {spoiled: NonFiniteLogits, raising: _Failure})


class _Failure(Exception):
    """A processor's own error."""


class _Raising(LogitsProcessor):
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        raise _Failure("a processor failed")


def _batch(seed: int, dtype: torch.dtype) -> tuple[list[Tree], Float[Tensor, "R N V"], list[Prefix]]:
    """Make trees of different sizes, with logits that the sequences often agree with; past a tree's nodes are NaN."""
    instance = Instance.random(VOCAB, seed, exact=False)
    trees = [instance.grow(shape, Dice(Keyed(), seed, number)) for number, shape in enumerate(SHAPES)]
    random = np.random.default_rng(seed)  # no two scores are nearly equal
    logits = torch.full((len(trees), max(map(len, trees)), VOCAB), torch.nan, dtype=dtype)
    for row, tree in enumerate(trees):
        logits[row, : len(tree)] = torch.from_numpy(2 * random.standard_normal((len(tree), VOCAB)))
        for node, parent in enumerate(tree.parents[1:], 1):
            logits[row, parent, tree.tokens[node]] += 2
    tokens = [random.integers(VOCAB, size=4 + number).tolist() for number in range(len(trees))]
    pairs = zip(tokens, SAMPLINGS, strict=True)
    return trees, logits, [Prefix([*some, 0], sampling, Noise(Keyed(), sampling.seed)) for some, sampling in pairs]


def _compare(
    rule: Rule,
    trees: Sequence[Tree],
    logits: Float[Tensor, "R N V"],
    prefixes: Sequence[Prefix],
    failures: dict[int, type[Exception]],
) -> None:
    walks = rule.decide(trees, logits.clone(), prefixes)
    if len(walks) != len(trees):
        raise AssertionError(f"expected a decision on each of {len(trees)} trees, got {len(walks)}")
    for number, (tree, prefix, walk) in enumerate(zip(trees, prefixes, walks, strict=True)):
        expected: object
        if number in failures:
            expected, same = failures[number].__name__, isinstance(walk, failures[number])
        else:
            expected = rule.walk(tree, prefix.probs(tree, logits[number]), prefix.dice)
            same = isinstance(walk, Walk) and (list(walk.path), walk.bonus) == (list(expected.path), expected.bonus)
        if not same:
            raise AssertionError(
                f"expected decide to give {expected} for sequence {number} of a batch, got {walk!r}; "
                f"{prefix.sampling}, {described(tree)}"
            )
