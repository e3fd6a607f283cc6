"""Options of training methods, as options of `specdec train`."""

import inspect
from typing import Annotated, Any, get_args

import typer
from typer.main import get_command

from specdec.cli.command import Command
from specdec.errors import OptionError, PluginError

PASSED = ("model", "tokenizer", "seed")
"""What every method's factory may take, and so is no option of its own."""
Own = Annotated[Any, typer.Option(hidden=True, parser=dict)]
"""How a command takes the method's options from `MethodCommand`, in a parameter `own`."""
_METHOD = "specdec.method"


class MethodCommand(Command):
    """Has, beside its own options, those of the method that is its first argument.

    They come from the signature of the method's factory, texts out of `Annotated`, and go to the parameter `own`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look which method is meant before anything is parsed.

        Raises:
            UnknownName: there is no such method.
            OptionError: neither the command nor the method has an option of that name.
        """
        if args and not args[0].startswith("-"):
            ctx.meta[_METHOD] = (args[0], options_of(args[0]))
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if not hasattr(error, "possibilities"):  # what the parser raises for an option that it does not know
                raise
            raise OptionError(self._unknown(ctx, error)) from error

    def get_params(self, ctx: Any) -> list[Any]:
        """List the command's own parameters, then the method's."""
        own = super().get_params(ctx)
        name, more = ctx.meta.get(_METHOD, ("", []))
        if clashes := {param.name for param in own} & {param.name for param in more}:
            raise PluginError(f"method {name!r} has an option {min(clashes)!r}, and so has `specdec train` itself")
        return [*own, *more]

    def invoke(self, ctx: Any) -> Any:
        """Gather the method's options."""
        _, more = ctx.meta.get(_METHOD, ("", []))
        ctx.params["own"] = {param.name: ctx.params.pop(param.name) for param in more}
        return super().invoke(ctx)

    def _unknown(self, ctx: Any, error: Any) -> str:
        name, more = ctx.meta.get(_METHOD, ("", []))
        message = f"there is no option {error.option_name}"
        if error.possibilities:
            message += f", but {error.possibilities[0]}"
        if not name:
            return f"{message}; those of a method are known where it is named first: specdec train METHOD ..."
        return f"{message}; those of {name} are: {', '.join(param.opts[0] for param in more) or 'none'}"


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
