"""Enumerations call small functions millions of times: shapes are checked where the rest is tested."""

import pytest
from jaxtyping import config


@pytest.fixture(scope="package", autouse=True)
def unchecked_shapes():
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def pytest_terminal_summary(terminalreporter):
    from tests.mutants.table import FINDINGS, lines

    if FINDINGS:
        terminalreporter.section("mutants")
        for line in lines():
            terminalreporter.write_line(line)
