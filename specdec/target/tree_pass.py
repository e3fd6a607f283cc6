"""One pass over trees: where each node stands, and what it may see."""

from collections.abc import Sequence
from functools import cached_property

import torch
from attrs import evolve, field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.transfer import upload


@frozen
class Chunk:
    """A window that begins again at each multiple of its size."""

    size: int


Window = int | Chunk
"""How far back a position sees: itself and the others of its last so many, or those of its chunk."""


@frozen(eq=False)
class TreePass:
    """Nodes read after `decided` tokens of each row; whatever comes after them is ignored.

    `depths` counts each node's edges below its row's root, and `visible` says which nodes each of the last `M` may
    attend to; nodes of earlier passes come first. All stay on one device, where masks and positions are made. A pass
    reads `end` columns, by default as many as the longest row fills; more are masked.
    """

    decided: Sequence[int]
    depths: Int[Tensor, "R C"]
    visible: Bool[Tensor, "R M C"]
    end: int = field()
    lengths: Int[Tensor, " R"] = field()
    """The same as `decided`, where the other tensors are."""
    slots: Int[Tensor, " R"] | None = None
    """Where the rows are stored, for attention that finds them itself."""

    @end.default
    def _fill(self) -> int:
        return max(self.decided) + self.depths.shape[1]

    @lengths.default
    def _lengths(self) -> Int[Tensor, " R"]:
        return torch.tensor(self.decided, device=self.depths.device)

    def on(self, device: torch.device) -> "TreePass":
        """Have masks and positions made on a device."""
        lengths, depths, visible = upload(device, self.lengths, self.depths, self.visible)
        return self if lengths is self.lengths else evolve(self, depths=depths, visible=visible, lengths=lengths)

    @property
    def starts(self) -> list[int]:
        """The column that each row begins to write to."""
        return [length + self.start for length in self.decided]

    @cached_property
    def start(self) -> int:
        """How many nodes were read in earlier passes."""
        return self.visible.shape[2] - self.visible.shape[1]

    @cached_property
    def positions(self) -> Int[Tensor, "R M"]:
        """Positions of the nodes read now, the root's being the row's length."""
        return self.lengths[:, None] + self.depths[:, self.start :]

    @cached_property
    def columns(self) -> Int[Tensor, "R M"]:
        """Columns that the nodes read now are written to."""
        return self._node_columns[:, self.start :]

    def mask(self, dtype: torch.dtype, window: Window | None = None) -> Float[Tensor, "R 1 M T"]:
        """Build an additive mask, lowest where nothing may be seen; eager attention adds it as it is.

        A window of w lets a position see itself and the w - 1 before it.
        """
        size = window.size if isinstance(window, Chunk) else window
        hidden: Tensor = self._all_columns >= self.lengths[:, None, None]
        nodes: Tensor = ~self.visible
        if size is not None and size < self.end:
            positions = self.positions[..., None]
            begin = positions // size * size if isinstance(window, Chunk) else positions - size + 1
            nearest = begin - 1  # of what lies too far back
            hidden = hidden | (self._all_columns <= nearest)
            nodes = nodes | ((self.lengths[:, None] + self.depths)[:, None] <= nearest)
        hidden = hidden.expand(*nodes.shape[:2], -1).scatter(2, self._node_columns[:, None].expand_as(nodes), nodes)
        return hidden[:, None].to(dtype).mul_(torch.finfo(dtype).min)

    @cached_property
    def _all_columns(self) -> Int[Tensor, " T"]:
        return torch.arange(self.end, device=self.lengths.device)

    @cached_property
    def _node_columns(self) -> Int[Tensor, "R C"]:
        return self.lengths[:, None] + self._all_columns[: self.depths.shape[1]]
