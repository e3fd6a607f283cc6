"""Waiting for what other threads do."""

from collections.abc import Callable
from time import monotonic, sleep

PATIENCE = 60.0
"""Seconds."""


def wait_for(true: Callable[[], object]) -> None:
    until = monotonic() + PATIENCE
    while not true():
        assert monotonic() < until
        sleep(0.01)
