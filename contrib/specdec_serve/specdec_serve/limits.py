"""Limits given on a command line."""

from collections.abc import Iterable

from attrs import fields

from specdec import OptionError
from specdec.split import Limits


def read_limits(texts: Iterable[str]) -> Limits:
    """Parse `NAME=N`, each name at most once; other limits keep their defaults.

    Raises:
        OptionError: a limit is unknown or repeated, or its value is out of range.
    """
    kinds, values = {one.name: one.type for one in fields(Limits)}, dict[str, int | float]()
    for text in texts:
        name, _, value = text.partition("=")
        if name not in kinds or name in values:
            raise OptionError(f"expected NAME=N once for each of {', '.join(kinds)}; got {text!r}")
        try:
            values[name] = int(value) if kinds[name] is int else float(value)
        except ValueError:
            raise OptionError(f"expected a number for the limit {name}, got {value!r}") from None
    return Limits(**values)  # type: ignore[arg-type]
