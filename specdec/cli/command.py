"""Commands that refuse values that mean nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from typer.core import TyperCommand

from specdec.errors import OptionError


class Command(TyperCommand):
    """Takes each option once, and neither nothing nor what is no number for a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at the options as they were written, then at the numbers that became of them.

        Raises:
            OptionError: an option is there twice, or empty, or is not a finite number.
        """
        written, _, order = self.make_parser(ctx).parse_args(args=list(args))
        params = {param.name: param for param in self.get_params(ctx) if param.param_type_name == "option"}
        _check_written(params, written, order)
        rest = super().parse_args(ctx, args)
        for name, param in params.items():
            value = ctx.params.get(name)
            if isinstance(value, float) and not isfinite(value):
                raise OptionError(f"expected a finite number for {param.opts[0]}, got {value}")
        return rest


def _check_written(params: Mapping[str, Any], written: Mapping[str, Any], order: Iterable[Any]) -> None:
    for name, count in Counter(param.name for param in order).items():
        if count > 1 and name in params and not (params[name].multiple or params[name].is_flag):
            raise OptionError(f"expected {params[name].opts[0]} once, got it {count} times")
    for name, param in params.items():
        values = written.get(name)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str) and not value.strip() and param.default != "":
                raise OptionError(f"expected a value for {param.opts[0]}, got {value!r}")
