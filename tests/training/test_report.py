"""What a run says of the time it will take."""

from types import SimpleNamespace

import pytest

from specdec.training import report


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (5, []),
        (18, []),  # half a minute needs no estimate
        (54, ["the other 50 steps take about 100 seconds"]),
        (104, ["the other 100 steps take about 3 minutes"]),
        (10_004, ["the other 10000 steps take about 6 hours"]),
    ],
)
def test_after_a_few_steps_the_rest_is_estimated(steps, said, monkeypatch):
    """The first step, which takes long, does not count."""
    clock = iter([90.0, 92.0, 94.0, 96.0, 130.0, 200.0])
    monkeypatch.setattr(report, "perf_counter", lambda: next(clock))
    one = report.Report()
    with one.console.capture() as capture:
        for step in range(1, 6):
            state = SimpleNamespace(global_step=step, max_steps=steps, is_world_process_zero=True)
            one.on_step_end(None, state, None)

    assert capture.get().splitlines() == said
