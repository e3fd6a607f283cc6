"""Masks for a model's attention, by a kernel."""

import torch
from torch import Tensor

from specdec.target import DenseMask, TreePass, Window
from specdec_cuda.decidable import PRECISIONS
from specdec_cuda.kernels.masks import mask


class MaskOnDevice(DenseMask):
    """The mask of `DenseMask`, made in one launch; in double precision by torch's operations, as ever."""

    def mask(self, tree: TreePass, dtype: torch.dtype, window: Window | None) -> Tensor:
        if dtype not in PRECISIONS:
            return super().mask(tree, dtype, window)
        return mask(tree.visible, tree.depths, tree.lengths, tree.end, dtype, window)
