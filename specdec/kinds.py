"""Whether what a caller gave is of the kind that belongs in a place."""

from types import UnionType

from specdec.errors import OptionError


def check_kind(value: object, kind: type | UnionType, expected: str) -> None:
    """Check an argument's type: it is easy to pass a name where the object itself is expected.

    Raises:
        OptionError: it is of another kind.
    """
    if not isinstance(value, kind):
        raise OptionError(f"expected {expected}, got {shown(value)}")


def shown(value: object) -> str:
    """Write a value for a message: in one line, and so a model by its name."""
    text = repr(value)
    return type(value).__name__ if "\n" in text else text
