"""Triton's decorators with types, and what all kernels have in common.

The parameters of a kernel are annotated with what they may be, and its constants have defaults: from these follows
what the audit compiles.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import triton
from attrs import field, frozen

Function: TypeAlias = Callable[..., Any]


if TYPE_CHECKING:
    Value: TypeAlias = Any
else:

    class Value:
        """A number or a tile of numbers, inside of kernels."""

        __triton_builtin__ = True  # else Triton takes no such name, not even in an annotation


class Parameter(Value):
    """What a kernel takes: a pointer to numbers of one of some types, by Triton's names, or a number."""

    types: ClassVar[tuple[str, ...]]
    aligned: ClassVar[bool] = True
    """Whether it is a multiple of 16 as a rule. Where it is not a kernel is compiled once more, and reads slower."""


class Logits(Parameter):
    """What a model gives."""

    types = ("*bf16", "*fp16", "*fp32")


class States(Parameter):
    """What a model stores, or is given."""

    types = ("*bf16", "*fp16", "*fp32")


class Floats(Parameter):
    """Single precision."""

    types = ("*fp32",)


class Doubles(Parameter):
    """Double precision."""

    types = ("*fp64",)


class Ints(Parameter):
    """Integers of 32 bits."""

    types = ("*i32",)


class Longs(Parameter):
    """Integers of 64 bits; seeds are the bits of unsigned ones."""

    types = ("*i64",)


class Bytes(Parameter):
    """Booleans."""

    types = ("*u8",)


class Size(Parameter):
    """A number that is the same in most launches."""

    types = ("i32",)


class Stride(Parameter):
    """From one row to the next."""

    types = ("i64",)


class Count(Parameter):
    """A number for which nothing is compiled once more, whatever it is."""

    types = ("i32",)
    aligned = False


class Number(Parameter):
    """A floating point number."""

    types = ("fp32",)
    aligned = False


KERNELS: list["Kernel"] = []
"""The kernels of all modules that were imported."""


def device(function: Function) -> Function:
    """Compile a function that kernels call."""
    compiled: Function = triton.jit(function)
    return compiled


@frozen(eq=False)
class Kernel:
    """A function that is launched on a grid."""

    name: str
    module: str
    parameters: Mapping[str, inspect.Parameter]
    options: dict[str, Any]
    """How it is compiled. Products and sums are never fused: numbers have the same bits on every machine."""
    compiled: Any = field(repr=False)

    def __getitem__(self, grid: tuple[int, ...]) -> Function:
        return partial(self.compiled[grid], **self.options)


def kernel(*, warps: int) -> Callable[[Function], Kernel]:
    """Compile a function into a kernel of so many warps."""

    def declare(function: Function) -> Kernel:
        parameters = inspect.signature(function).parameters
        counts = [name for name, one in parameters.items() if one.annotation is Count]
        compiled = triton.jit(do_not_specialize=counts)(function)
        options = {"num_warps": warps, "enable_fp_fusion": False}
        KERNELS.append(Kernel(function.__name__, function.__module__, parameters, options, compiled))
        return KERNELS[-1]

    return declare
