"""How something registered is written in one line, as on the command line: its name, path and options."""

import re
from inspect import Parameter
from math import isfinite
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from attrs import frozen

from specdec.errors import OptionError
from specdec.kinds import check_kind

__all__ = ["Spec", "fitting", "split"]

OPTIONS = re.compile(r"\w+=[^,]*(,\s*\w+=[^,]*)*")

WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""What may be written for an option that is either on or off."""


@frozen
class Spec:
    """`name[:path][:key=value,...]`; values are numbers, true, false, or text."""

    text: str
    name: str
    path: str | None
    options: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Tell name, path and options apart; a path may have colons of its own.

        Raises:
            OptionError: there is no name, nothing after a colon, or an option twice or without a value.
        """
        check_kind(text, str, "NAME[:PATH][:key=value,...]")
        name, colon, rest = text.partition(":")
        path, second, options = rest.rpartition(":")
        if OPTIONS.fullmatch(options):
            empty = second and not path.strip()
        else:
            path, options, empty = rest, "", colon and (not rest.strip() or rest.endswith(":"))
        if not name.strip() or empty:
            raise OptionError(f"expected NAME[:PATH][:key=value,...], got {text!r}")
        return cls(text, name, path or None, _options(options, text))


def split(text: str) -> list[str]:
    """Split a list of specs at its commas; a bare `key=value` belongs to the spec before it."""
    parts = list[str]()
    for part in map(str.strip, text.split(",")):
        if parts and OPTIONS.fullmatch(part):
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def fitting(whose: str, name: str, value: Any, parameter: Parameter | None) -> Any:
    """Give an option's value as a factory's parameter takes it, so that no word is taken for true.

    Raises:
        OptionError: it is neither yes nor no where the parameter is either, or is no finite number.
    """
    kinds = [] if parameter is None else _kinds(parameter.annotation)
    if bool in kinds and value is not None:
        if str(value).lower() not in WORDS:
            raise OptionError(f"expected yes or no for {name!r} of {whose}, got {value!r}")
        return WORDS[str(value).lower()]
    number = int in kinds or float in kinds
    if (isinstance(value, float) and not isfinite(value)) or (number and isinstance(value, bool)):
        raise OptionError(f"expected a finite number for {name!r} of {whose}, got {value!r}")
    return value


def _kinds(annotation: Any) -> list[Any]:
    """List the types that a parameter takes."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return [*get_args(annotation)] if isinstance(annotation, UnionType) else [annotation]


def _options(text: str, spec: str) -> dict[str, Any]:
    options = dict[str, Any]()
    for part in filter(None, text.split(",")):
        key, _, value = map(str.strip, part.partition("="))
        if key in options:
            raise OptionError(f"expected each option once, got {key!r} twice in {spec!r}")
        if not value:
            raise OptionError(f"expected a value for {key!r}, got none in {spec!r}")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
