"""Checks on what users ask of a policy."""

from math import inf
from typing import Any

from specdec.errors import OptionError


def above(low: int | float) -> Any:
    """Build an attrs validator: a finite number above `low`."""

    def validate(_: object, attribute: Any, value: Any) -> None:
        if not isinstance(value, int | float) or not low < value < inf:
            raise OptionError(f"expected a {attribute.name} above {low}, got {value!r}")

    return validate


def at_least(low: int | float) -> Any:
    """Build an attrs validator: a number of at least `low`."""

    def validate(_: object, attribute: Any, value: Any) -> None:
        if attribute.type is int and not isinstance(value, int):
            raise OptionError(f"expected a {attribute.name} that is a whole number, got {value!r}")
        if not isinstance(value, int | float) or not value >= low:
            raise OptionError(f"expected a {attribute.name} of at least {low}, got {value!r}")

    return validate
