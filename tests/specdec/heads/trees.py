"""Trees of drafters, recorded and compared."""

from collections.abc import Sequence

import pytest
from transformers import PreTrainedModel

from specdec import Decoder, Drafter, Sampling, Stop, Target, Tree, TreePolicy

Trees = list[Tree | None]


def record(
    drafter: Drafter,
    target: Target | PreTrainedModel,
    policy: TreePolicy,
    prompts: list[list[int]],
    sampling: Sampling,
    count: int | Sequence[int],
) -> list[Trees]:
    """Decode so many tokens, and give the trees of each step."""
    steps, propose = list[Trees](), drafter.propose
    drafter.propose = lambda *args: (steps.append(propose(*args)), steps[-1])[1]  # type: ignore[method-assign]
    target = target if isinstance(target, Target) else Target(target)
    stops = [Stop(one, tokens=()) for one in ([count] * len(prompts) if isinstance(count, int) else count)]
    Decoder(drafter, target, policy).generate(prompts, [sampling] * len(prompts), stops)
    return steps


def check_same(one: Sequence[Tree | None], other: Sequence[Tree | None]) -> None:
    """Check that trees have the same tokens in the same shapes, and scores that differ by rounding alone."""
    for left, right in zip(one, other, strict=True):
        assert (left is None) == (right is None)
        if left is not None and right is not None:
            assert (left.tokens, left.parents) == (right.tokens, right.parents)
            assert left.scores == pytest.approx(right.scores, abs=1e-5, rel=1e-5)
