"""What each node may see, as the mask that eager attention adds.

Exact: it holds 0 and the lowest number. A node sees the tokens before the root, and whom one meets on the way up from
it; a window leaves out what is too far back, as in `specdec.target.TreePass`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec.target.tree_pass import Chunk, Window
from specdec_cuda.jit import Count, Ints, Longs, Number, Size, States, kernel

BLOCK = tl.constexpr(1024)
"""Columns of one program."""


def mask(
    parents: Int[Tensor, "R N"],
    depths: Int[Tensor, "R N"],
    lengths: Int[Tensor, " R"],
    end: int,
    dtype: torch.dtype,
    window: Window | None = None,
) -> Float[Tensor, "R 1 N T"]:
    """Make the mask of a pass over whole trees that reads `end` columns; padding sees the text and itself."""
    rows, nodes = parents.shape
    made = torch.empty(rows, 1, nodes, end, dtype=dtype, device=parents.device)
    grid = triton.cdiv(end, int(BLOCK)), nodes, rows
    size = window.size if isinstance(window, Chunk) else window or 0
    mask_kernel[grid](parents, depths, lengths, made, end, size, int(isinstance(window, Chunk)), torch.finfo(dtype).min)
    return made


@kernel(warps=4)
def mask_kernel(
    parents: Ints,
    depths: Ints,
    lengths: Longs,
    made: States,
    end: Size,
    window: Count,
    chunked: Count,
    lowest: Number,
    block: tl.constexpr = BLOCK,
) -> None:
    """On a grid of columns, nodes and rows; a window of 0 is none."""
    node, row = tl.program_id(1), tl.program_id(2)
    nodes = tl.num_programs(1)
    column = tl.program_id(0) * block + tl.arange(0, block)
    root = (tl.load(lengths + row) - 1).to(tl.int32)
    position = root + tl.maximum(tl.load(depths + row * nodes + node), 0)
    begin = tl.where(chunked > 0, position - position % tl.maximum(window, 1), position - window + 1)
    begin = tl.where(window > 0, begin, 0)
    seen = (column < root) & (column >= begin)
    above = node
    while (above >= 0) & (position >= begin):
        seen = seen | (column == root + above)
        above = tl.load(parents + row * nodes + above)
        position -= 1
    values = tl.where(seen, 0.0, lowest).to(made.dtype.element_ty)
    tl.store(made + (row * nodes + node).to(tl.int64) * end + column, values, mask=column < end)
