"""Attention masks for trees that stand behind rows of different lengths."""

from functools import cached_property

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.target.cache import Array


@frozen(eq=False)
class Layout:
    """Where the columns of a pass stand: `lengths` decided tokens per row, then nodes, then nothing.

    `depths` counts each node's edges below the row's root, and `visible` says which nodes each of the
    last `M` may attend to; nodes read in earlier passes come first.
    """

    lengths: Int[Tensor, " R"]
    depths: Int[Tensor, "R C"]
    visible: Bool[Tensor, "R M C"]

    @cached_property
    def end(self) -> int:
        """How far the longest row reaches."""
        return int(self.lengths.numpy().max()) + self.depths.shape[1]

    @cached_property
    def start(self) -> int:
        """How many nodes were read in earlier passes."""
        return self.visible.shape[2] - self.visible.shape[1]

    @cached_property
    def positions(self) -> Int[Tensor, "R M"]:
        """Positions of the nodes read now, the root's being the row's length."""
        return torch.from_numpy(self.lengths.numpy()[:, None] + self.depths.numpy()[:, self.start :])

    @cached_property
    def columns(self) -> Int[Array, "R M"]:
        """Columns that the nodes read now are written to."""
        columns: Array = self.lengths.numpy()[:, None] + np.arange(self.start, self.depths.shape[1])
        return columns

    def mask(self, dtype: torch.dtype, window: int | None = None) -> Float[Tensor, "R 1 M T"]:
        """Build an additive mask, lowest where nothing may be seen; eager attention adds it as it is.

        A window of w lets a position see itself and the w - 1 before it.
        """
        rows, count, nodes = self.visible.shape
        seen = np.zeros((rows, count, self.end), bool)
        for row, length in enumerate(self.lengths.tolist()):
            seen[row, :, :length] = True
            seen[row, :, length : length + nodes] = self.visible.numpy()[row]
        if window is not None:
            seen &= self.positions.numpy()[..., None] - self._stands()[:, None] < window
        wide = np.float64 if dtype == torch.float64 else np.float32  # numpy knows no bfloat16
        mask = np.where(seen, wide(0), wide(torch.finfo(dtype).min))
        return torch.from_numpy(mask[:, None]).to(dtype)

    def _stands(self) -> Array:
        """The position of what stands in each column, [R, T]."""
        stands = np.tile(np.arange(self.end), (len(self.depths), 1))
        for row, length in enumerate(self.lengths.tolist()):
            stands[row, length : length + self.depths.shape[1]] = length + self.depths[row].numpy()
        return stands
