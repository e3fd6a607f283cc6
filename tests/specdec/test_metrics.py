"""Each figure has one definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdec import Decoder, Metrics, Sampling, Step, Stop, Target
from specdec.drafters import SmallModel
from specdec.policies import Static
from tests.specdec.trees import tree_of
from tests.toys import RAGGED, perturbed, tiny

COUNTS = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 6)), min_size=2, max_size=2), max_size=6
)
"""Steps of two rows: tokens decided, of which accepted, and nodes drafted."""


def observed(steps: list[list[tuple[int, int, int]]]) -> Metrics:
    metrics = Metrics()
    for rows in steps:
        tree = tree_of([[(0, node - 1) for node in range(1 + drafted)] for _, _, drafted in rows])
        lengths = torch.tensor([tokens for tokens, _, _ in rows])
        accepted = torch.tensor([min(taken, tokens) for tokens, taken, _ in rows])
        metrics.observe(tree, Step(torch.zeros(2, 4, dtype=torch.int64), lengths, accepted))
    return metrics


@given(COUNTS)
def test_figures_are_those_of_counting_by_hand(steps: list[list[tuple[int, int, int]]]) -> None:
    """A row that is done has no steps; the macro mean is over requests, the micro one over steps."""
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

    assert summary.tokens == sum(int(step.lengths.sum()) for step in steps)
    assert summary.steps == sum(int((step.lengths > 0).sum()) for step in steps)
    assert all((step.accepted <= step.lengths).all() for step in steps)


def test_a_run_starts_to_count_anew() -> None:
    decoder = Decoder(SmallModel(tiny()), Target(tiny()), Static((2, 2)))
    first = decoder.generate(RAGGED, Sampling(), Stop(5, tokens=())).metrics

    assert decoder.generate(RAGGED, Sampling(), Stop(5, tokens=())).metrics == first
