"""Each figure has one definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdec import Decoder, Metrics, Sampling, Step, Stop, Target, Tree
from specdec.drafters import SmallModel
from specdec.policies import Static
from tests.toys import RAGGED, perturbed, tiny

COUNTS = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 6)), min_size=2, max_size=2), max_size=6
)
"""Steps of two sequences: tokens decided, of which accepted, and nodes drafted."""


def observed(steps: list[list[tuple[int, int, int]]]) -> Metrics:
    metrics = Metrics()
    for rows in steps:
        trees = [Tree.of([0] * (1 + drafted), range(-1, drafted)) if tokens else None for tokens, _, drafted in rows]
        accepted = [min(taken, tokens) for tokens, taken, _ in rows]
        metrics.observe(trees, Step([[0] * tokens for tokens, _, _ in rows], accepted))
    return metrics


@given(COUNTS)
def test_figures_are_those_of_counting_by_hand(steps: list[list[tuple[int, int, int]]]) -> None:
    """A sequence that is done has no steps; the macro mean is over requests, the micro one over steps."""
    summary = observed(steps).summary()
    rows = [[part for part in (step[row] for step in steps) if part[0]] for row in range(2)]
    everything = [part for row in rows for part in row]
    means = [sum(tokens for tokens, _, _ in row) / len(row) for row in rows if row]
    accepted = [min(taken, tokens) for tokens, taken, _ in everything]
    drafted = sum(nodes for _, _, nodes in everything)

    assert summary.steps == len(everything)
    assert summary.tokens == sum(tokens for tokens, _, _ in everything)
    assert summary.acceptance_length == (summary.tokens / len(everything) if everything else 0)
    assert summary.acceptance_length_per_request == pytest.approx(sum(means) / len(means) if means else 0)
    assert summary.acceptance_rate == (sum(accepted) / drafted if drafted else 0)
    assert summary.acceptance_by_position == tuple(
        sum(count > place for count in accepted) / len(everything) for place in range(max(accepted, default=0))
    )


def test_what_is_counted_is_what_is_said() -> None:
    """Over a run: tokens, and the shares that were drafted and accepted."""
    decoder = Decoder(SmallModel(perturbed()), Target(tiny()), Static((2, 2)))
    steps = list(decoder.stream(RAGGED, Sampling(1.0), Stop(10, tokens=(3, 8, 20))))
    summary = decoder.metrics.summary()
    lengths = [length for step in steps for length in step.lengths]

    assert summary.tokens == sum(lengths)
    assert summary.steps == sum(length > 0 for length in lengths)
    assert all(taken <= length for step in steps for taken, length in zip(step.accepted, step.lengths, strict=True))


def test_a_run_counts_from_zero() -> None:
    decoder = Decoder(SmallModel(tiny()), Target(tiny()), Static((2, 2)))
    first = decoder.generate(RAGGED, Sampling(), Stop(5, tokens=())).metrics

    assert decoder.generate(RAGGED, Sampling(), Stop(5, tokens=())).metrics == first
