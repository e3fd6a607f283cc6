"""Bounds on numbers that users choose."""

from math import inf
from typing import Any

from specdec.errors import OptionError


def bounds(low: int | float, high: int | float = inf, *, above: bool = False) -> Any:
    """Build an attrs validator: a finite number from `low`, or `above` it, to `high`.

    It is to be whole where the field's type says so, and may be None where that is the default.
    """

    def validate(_: object, attribute: Any, value: Any) -> None:
        if value is None and attribute.default is None:
            return
        name, whole = attribute.name, attribute.type in (int, int | None)
        if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
            raise OptionError(
                f"expected {_with_article(name)} that is a {'whole ' if whole else ''}number, got {value!r}"
            )
        if not ((low < value if above else low <= value) and value <= high and value < inf):
            bound = f"above {low}" if above else f"of at least {low}"
            limit = f" and at most {high}" if high < inf else ""
            raise OptionError(f"expected {_with_article(name)} {bound}{limit}, got {value}")

    return validate


def _with_article(name: str) -> str:
    """Write a name as a sentence has it: `epochs`, `a batch`, `an answer`."""
    return name if name.endswith("s") else f"an {name}" if name[0] in "aeiou" else f"a {name}"
