"""How something registered is written in one line, as on the command line: its name, path and options."""

import builtins
import inspect
import re
import sys
from collections.abc import Callable
from inspect import Parameter
from math import isfinite
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from attrs import frozen

from specdec.errors import OptionError
from specdec.kinds import check_kind

__all__ = ["Spec", "as_annotated", "fitting", "parameters_of", "split"]

OPTIONS = re.compile(r"\w+=[^,]*(,\s*\w+=[^,]*)*")

WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""What may be written for an option that is either on or off."""


@frozen
class Spec:
    """`name[:path][:key=value,...]`; what a value means is up to what takes it, by `as_annotated`."""

    text: str
    name: str
    path: str | None
    options: dict[str, str]

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


def parameters_of(factory: Callable[..., Any]) -> dict[str, Parameter]:
    """List a factory's parameters. An annotation that is text is read; one that cannot be says nothing."""
    names = vars(sys.modules.get(getattr(inspect.unwrap(factory), "__module__", ""), builtins))

    def read(annotation: Any) -> Any:
        try:
            return eval(annotation, names) if isinstance(annotation, str) else annotation
        except Exception:  # such as a name that is imported for type checkers alone
            return Parameter.empty

    parameters = inspect.signature(factory).parameters
    return {name: one.replace(annotation=read(one.annotation)) for name, one in parameters.items()}


def as_annotated(text: str, parameter: Parameter | None) -> Any:
    """Read an option as it is written: as its parameter's annotation says; without one, as what it looks like."""
    kinds, value = _kinds(parameter), _value(text)
    if object in kinds:
        return value
    numbers = [kind for kind in kinds if kind in (bool, int, float)]
    fits = type(value) in numbers or (type(value) is int and float in numbers)
    return value if fits or (numbers and str not in kinds) else text


def fitting(whose: str, name: str, value: Any, parameter: Parameter | None) -> Any:
    """Give an option's value as a factory's parameter takes it, so that no word is taken for true.

    Raises:
        OptionError: it is neither yes nor no where the parameter is either, or is no finite number.
    """
    kinds = _kinds(parameter)
    if bool in kinds and value is not None:
        if str(value).lower() in WORDS:
            return WORDS[str(value).lower()]
        if not any(isinstance(value, kind) for kind in (str, int, float) if kind in kinds):
            raise OptionError(f"expected yes or no for {name!r} of {whose}, got {value!r}")
    number = int in kinds or float in kinds
    if (isinstance(value, float) and not isfinite(value)) or (number and isinstance(value, bool)):
        raise OptionError(f"expected a finite number for {name!r} of {whose}, got {value!r}")
    return value


def _kinds(parameter: Parameter | None) -> list[Any]:
    """List the types that a parameter takes; `object` stands for any."""
    return [object] if parameter is None else _types(parameter.annotation)


def _types(annotation: Any) -> list[Any]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _types(parts[0])
    if origin in (Union, UnionType):
        return [kind for part in parts for kind in _types(part)]
    if origin is Literal:
        return [type(part) for part in parts]
    return [object] if annotation in (Any, Parameter.empty) else [annotation]


def _options(text: str, spec: str) -> dict[str, str]:
    options = dict[str, str]()
    for part in filter(None, text.split(",")):
        key, _, value = map(str.strip, part.partition("="))
        if key in options:
            raise OptionError(f"expected each option once, got {key!r} twice in {spec!r}")
        if not value:
            raise OptionError(f"expected a value for {key!r}, got none in {spec!r}")
        options[key] = value
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
