"""Attention masks for trees that stand behind rows of different lengths."""

import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor


@frozen(eq=False)
class Layout:
    """Where the columns of a pass stand: `lengths` decided tokens per row, then nodes, then nothing.

    `depths` counts each node's edges below the row's root, and `visible` says which nodes each of the
    last `M` may attend to; nodes read in earlier passes come first.
    """

    lengths: Int[Tensor, " R"]
    depths: Int[Tensor, "R C"]
    visible: Bool[Tensor, "R M C"]

    @property
    def end(self) -> int:
        """How far the longest row reaches."""
        return int(self.lengths.max()) + self.depths.shape[1]

    @property
    def start(self) -> int:
        """How many nodes were read in earlier passes."""
        return self.visible.shape[2] - self.visible.shape[1]

    @property
    def positions(self) -> Int[Tensor, "R M"]:
        """Positions of the nodes read now, the root's being the row's length."""
        return self.lengths[:, None] + self.depths[:, self.start :]

    @property
    def columns(self) -> Int[Tensor, "R M"]:
        """Columns that the nodes read now are written to."""
        return self.lengths[:, None] + torch.arange(self.start, self.depths.shape[1])

    def mask(self, dtype: torch.dtype, window: int | None = None) -> Float[Tensor, "R 1 M T"]:
        """Build an additive mask, lowest where nothing may be seen; eager attention adds it as it is.

        A window of w lets a position see itself and the w - 1 before it.
        """
        node = torch.arange(self.end) - self.lengths[:, None]  # [R, T], negative for decided tokens
        inside = (node >= 0) & (node < self.depths.shape[1])
        node = node.clamp(0, self.depths.shape[1] - 1)
        count = self.visible.shape[1]
        seen = self.visible.gather(2, node[:, None].expand(-1, count, -1)) & inside[:, None]
        seen |= (torch.arange(self.end) < self.lengths[:, None])[:, None]
        if window is not None:
            at = torch.where(inside, self.lengths[:, None] + self.depths.gather(1, node), torch.arange(self.end))
            seen &= self.positions[..., None] - at[:, None] < window
        lowest = torch.finfo(dtype).min
        return torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, lowest)[:, None]
