"""What a check found."""

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen


class Status(StrEnum):
    """How good it is."""

    OK = "ok"
    INFO = "info"
    """Neither good nor bad, such as an optional package that is not installed."""
    WARNING = "warning"
    """It works, but something could be better; the message says what to do."""
    FAILED = "failed"
    """Something is broken; the message says what was expected, and what to do."""


@frozen
class Finding:
    """One result of a check, with a message of one line."""

    name: str
    status: Status
    message: str
    figures: Mapping[str, int | float] = field(factory=dict)
    """What was measured, by names that say the unit, as `median_ms`."""
