"""One thread per process, and hypothesis without surprises: the same examples in every run."""

import os
from itertools import chain

os.environ["OMP_NUM_THREADS"] = "1"  # of the programs that tests start, too
os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which transformers does wherever it is installed

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import config

from tests.tables import lines, recorded

collect_ignore = ["tests/plugin_package"]  # has tests of its own, which test_plugins.py runs

torch.set_num_threads(1)
settings.register_profile(
    "specdec", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("specdec")

UNCHECKED = (
    "contrib/specdec_medusa/tests/test_medusa_drafter.py::test_the_text_is",
    "contrib/specdec_smollm2/tests/",
    "tests/bench/",
    "tests/cli/",
    "tests/faults/",
    "tests/mutants/",
    "tests/remote/test_spoilt",
    "tests/specdec/policies/test_auto",
    "tests/specdec/test_equality",
    "tests/specdec_eagle/test_drafter.py::test_passes_the_kit",
    "tests/specdec_eagle/test_drafter.py::test_rows_do",
    "tests/specdec_eagle/test_drafter.py::test_text_is",
    "tests/specdec_moa/test_drafter.py::test_rows_do",
    "tests/specdec_moa/test_drafter.py::test_text_is",
    "tests/test_",
    "tests/testing/",
)
"""Tests without checks of shapes: of whole texts and of enumerations, which call what other tests call, and often."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check shapes only where it pays: a step with checks takes three times as long."""
    config.update("jaxtyping_disable", item.nodeid.startswith(UNCHECKED))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show as tables what tests recorded."""
    for title, rows in recorded(chain(*terminalreporter.stats.values())).items():
        terminalreporter.section(title)
        for line in lines(rows):
            terminalreporter.write_line(line)
