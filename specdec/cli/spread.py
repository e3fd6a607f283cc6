"""Groups of options as one parameter of a command."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

from attrs import fields, has

__all__ = ["spread"]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Expand each parameter that is an attrs class into its fields, so that typer sees one option for each."""
    groups, parameters = dict[str, Any](), list[Parameter]()
    for parameter in signature(command, eval_str=True).parameters.values():
        if not has(parameter.annotation):
            parameters.append(parameter)
            continue
        kind = groups[parameter.name] = parameter.annotation
        hints = get_type_hints(kind, include_extras=True)
        parameters += [
            parameter.replace(name=one.name, default=one.default, annotation=hints[one.name]) for one in fields(kind)
        ]

    @wraps(command)
    def gathered(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{one.name: given.pop(one.name) for one in fields(kind)})
        command(**given)

    gathered.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return gathered
