"""What a pretended GPU counts."""

import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import TypeVar

import torch
from attrs import define, field, frozen
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")

DEVICE = torch.device("cuda", 0)


@frozen
class Crossing:
    """Something that went over: `up` to the device, `down` from it, or a `wait` for it to know a size."""

    kind: str
    nbytes: int
    blocks: bool
    where: str
    """The line of specdec or transformers that did it."""


@define(eq=False)
class Capture:
    """A graph while one thread captures it, and what it is made of, in order.

    Where the mode is `global`, as by default, it is `spoilt` by whatever another thread does on the GPU meanwhile.
    """

    work: list[Callable[[], object]]
    mode: str
    thread: int = field(factory=get_ident)
    spoilt: bool = False

    def concerns(self) -> bool:
        """Say whether this thread captures it; if another one does, that may be spoilt."""
        here = get_ident() == self.thread
        self.spoilt |= not here and self.mode == "global"
        return here


@define(eq=False)
class PretendedGPU:
    """What has crossed, in order, and how often each operation was launched."""

    _wrap: Callable[[Tensor], Tensor] = field(repr=False)
    crossings: list[Crossing] = field(factory=list)
    launches: Counter[str] = field(factory=Counter)
    capturing: Capture | None = None

    def place(self, module: Module) -> Module:
        """Move a module's parameters and buffers, uncounted."""
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    part._parameters[name] = nn.Parameter(self._wrap(parameter.detach()), requires_grad=False)
            part._buffers.update(
                {name: self._wrap(buffer) for name, buffer in part._buffers.items() if buffer is not None}
            )
        return module

    def clear(self) -> None:
        """Forget what was counted."""
        self.crossings.clear()
        self.launches.clear()

    @property
    def blocking(self) -> list[Crossing]:
        """Those that the host waits for."""
        return [crossing for crossing in self.crossings if crossing.blocks]

    def nbytes(self, kind: str) -> int:
        """How many bytes went `up` or `down`."""
        return sum(crossing.nbytes for crossing in self.crossings if crossing.kind == kind)

    def count(self, kind: str, tensor: Tensor | None = None, *, blocks: bool = True) -> None:
        """Note a crossing of a tensor, or of one value.

        Raises:
            RuntimeError: a graph is being captured, which can hold none.
        """
        if self.capturing is not None and self.capturing.concerns():
            raise RuntimeError(f"expected nothing to cross while a graph is captured, got {kind} at {where()}")
        nbytes = 0 if tensor is None else tensor.numel() * tensor.element_size()
        self.crossings.append(Crossing(kind, nbytes, blocks, where()))

    def launch(self, name: str, work: Callable[[], Result]) -> Result:
        """Do some work on tensors that the host can see, counted; a graph that is being captured holds it."""
        self.launches[name] += 1
        made = work()
        if self.capturing is not None and self.capturing.concerns():
            self.capturing.work.append(partial(_again, work, made))
        return made


def _again(work: Callable[[], object], made: object) -> None:
    """Do work again, and write what it makes to where it was made at first."""
    for old, new in zip(tree_leaves(made), tree_leaves(work()), strict=True):
        if isinstance(old, Tensor) and old is not new:
            old.copy_(new)


def where() -> str:
    """Name the innermost line outside torch and these files."""
    here = str(Path(__file__).parent)
    for frame in reversed(traceback.extract_stack()):
        if ("/specdec" in frame.filename or "/transformers/" in frame.filename) and not frame.filename.startswith(here):
            return f"{frame.filename.split('site-packages/')[-1]}:{frame.lineno} {frame.name}"
    return "elsewhere"


def active() -> PretendedGPU:
    """Give the GPU that there is.

    Raises:
        RuntimeError: there is none.
    """
    if not ACTIVE:
        raise RuntimeError("expected a pretended GPU, got a tensor of one outside `with pretended_gpu()`")
    return ACTIVE[-1]


ACTIVE: list[PretendedGPU] = []
