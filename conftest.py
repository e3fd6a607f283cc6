"""One thread per process, and hypothesis without surprises: the same examples in every run."""

import gc
import os
from itertools import chain

os.environ["OMP_NUM_THREADS"] = "1"  # of the programs that tests start, too
os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which transformers does wherever it is installed

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.tables import lines, recorded

collect_ignore = ["tests/plugin_package"]  # has tests of its own, which test_plugins.py runs

torch.set_num_threads(1)
settings.register_profile(
    "specdec", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("specdec")
settings.register_profile("types", settings.get_profile("specdec"), max_examples=10)

UNCHECKED = ("tests/specdec/policies/test_auto", "tests/specdec/test_equality")
"""Tests that a run with types checked leaves out: of simulations and whole texts, which call what others call."""


def pytest_configure(config: pytest.Config) -> None:
    """Need few examples for types."""
    if config.getoption("jaxtyping_packages"):
        settings.load_profile("types")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check types only where it pays: a step with checks takes three times as long."""
    if config.getoption("jaxtyping_packages"):
        left_out = [item for item in items if item.nodeid.startswith(UNCHECKED)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Spare what was imported in each later search for garbage, of which a training makes three: 0.3 s each."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show as tables what tests recorded."""
    for title, rows in recorded(chain(*terminalreporter.stats.values())).items():
        terminalreporter.section(title)
        for line in lines(rows):
            terminalreporter.write_line(line)
