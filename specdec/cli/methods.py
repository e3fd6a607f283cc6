"""Options of training methods, as options of `specdec train`."""

import inspect
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Annotated, Any, get_args

import typer
from attrs import frozen
from typer.main import get_command

from specdec.cli.command import Command
from specdec.errors import OptionError, PluginError
from specdec.spec import Spec

PASSED = ("model", "tokenizer", "seed")
"""What every method's factory may take, and so is no option of its own."""
Own = Annotated[Any, typer.Option(hidden=True, parser=dict)]
"""How a command takes methods with their options from `MethodCommand`, in a parameter `own`."""
_METHOD = "specdec.method"
NAME = re.compile(r"[A-Za-z0-9_][\w.+=-]*")
"""What a folder of a head may be called."""
TAKEN = ("checkpoint-", "logs")
"""How other folders of a run begin."""


@frozen
class MethodSpec:
    """A method to train, with all its options; `name` is its head's folder among others."""

    name: str
    method: str
    options: Mapping[str, Any]


class MethodCommand(Command):
    """Takes methods with their options: `METHOD:key=value,...`, or for one alone as options of the command too.

    These come from the signature of the method's factory, texts out of `Annotated`. The parameter `own` gets a list of
    `MethodSpec`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look which methods are meant before anything is parsed.

        Raises:
            UnknownName: there is no such method.
            OptionError: neither the command nor the method has an option of that name.
        """
        first = list(takewhile(lambda arg: not arg.startswith("-"), args))
        if len(first) == 1 and ":" not in first[0]:
            ctx.meta[_METHOD] = (first[0], options_of(first[0]))
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if not hasattr(error, "possibilities"):  # what the parser raises for an option that it does not know
                raise
            raise OptionError(self._unknown(ctx, error, first)) from error

    def get_params(self, ctx: Any) -> list[Any]:
        """List the command's own parameters, then the method's."""
        own = super().get_params(ctx)
        name, more = ctx.meta.get(_METHOD, ("", []))
        if clashes := {param.name for param in own} & {param.name for param in more}:
            raise PluginError(f"method {name!r} has an option {min(clashes)!r}, and so has `specdec train` itself")
        return [*own, *more]

    def invoke(self, ctx: Any) -> Any:
        """Gather the methods and their options.

        Raises:
            UnknownName: there is no such method.
            OptionError: a method has no such option, or two heads would have one name.
        """
        name, more = ctx.meta.get(_METHOD, ("", []))
        flags = {param.name: ctx.params.pop(param.name) for param in more}
        specs = list(ctx.params.pop("methods"))
        if flags and specs != [name]:
            raise OptionError(f"expected all methods before other options, got {specs[1]!r} after some")
        own = [MethodSpec("", name, flags)] if flags else read_methods(specs, ctx)
        ctx.params |= {"methods": specs, "own": own}
        return super().invoke(ctx)

    def _unknown(self, ctx: Any, error: Any, first: list[str]) -> str:
        name, more = ctx.meta.get(_METHOD, ("", []))
        message = f"there is no option {error.option_name}"
        hidden = {name for param in self.get_params(ctx) if getattr(param, "hidden", False) for name in param.opts}
        if near := [option for option in error.possibilities if option not in hidden]:
            message += f" (did you mean {near[0]}?)"
        if first and not name:
            return f"{message}; those of a method are written after its name: METHOD:key=value,..."
        if not name:
            return f"{message}; those of a method are known where it is named first: specdec train METHOD ..."
        return f"{message}; those of {name} are: {', '.join(param.opts[0] for param in more) or 'none'}"


def read_methods(texts: Sequence[str], ctx: Any) -> list[MethodSpec]:
    """Read methods as `METHOD[:key=value,...]`; among several, `name=` says what a head's folder is called.

    Raises:
        UnknownName: there is no such method.
        OptionError: a method has no such option, or two heads would have one name.
    """
    read = [_read(text, ctx, several=len(texts) > 1) for text in texts]
    names = [one.name for one in read]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"expected heads of different names, got {twice[0]!r} twice; METHOD:name=NAME gives another")
    return read


def _read(text: str, ctx: Any, *, several: bool) -> MethodSpec:
    spec = Spec.parse(text)
    params = {param.name: param for param in options_of(spec.name)}
    known = [*params, "name"] if several else [*params]
    unknown = [key for key in spec.options if key not in known]
    if spec.path is not None or unknown:
        wrong = unknown[0] if spec.path is None else spec.path
        raise OptionError(f"expected options as {spec.name}:key=value,..., of {', '.join(known)}; got {wrong!r}")
    own = {key: value for key, value in spec.options.items() if key != "name"}
    shape = [f"{key}{value}" for key, value in own.items() if key != "start"]
    name = spec.options.get("name", "-".join([spec.name, *shape]))
    if not NAME.fullmatch(name) or name.startswith(TAKEN):
        raise OptionError(f"expected a name that a head's folder can have in METHOD:name=NAME, got {name!r}")
    options = {key: param.process_value(ctx, own.get(key, param.default)) for key, param in params.items()}
    return MethodSpec(name if several else "", spec.name, options)


def options_of(method: str) -> list[Any]:
    """Give the options of a registered method, as the command line takes them.

    Raises:
        UnknownName: there is no such method.
    """
    from specdec.plugins import plugins

    def stand_in() -> None: ...

    factory = plugins().entry("method", method).factory
    options = [
        p
        for p in inspect.signature(factory).parameters.values()
        if p.name not in PASSED and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    parameters = [p.replace(kind=p.KEYWORD_ONLY, annotation=_described(p, method)) for p in options]
    stand_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command()(stand_in)
    return [param for param in get_command(app).params if param.name != "help"]


def _described(parameter: inspect.Parameter, method: str) -> Any:
    kind, *texts = get_args(parameter.annotation) or (parameter.annotation,)
    if not texts or not isinstance(texts[0], str):
        kind, texts = parameter.annotation, [""]
    return Annotated[kind, typer.Option(help=texts[0] or None, rich_help_panel=f"Options of {method}")]
