"""What each node may see, as the mask that eager attention adds.

Exact: it holds 0 and the lowest number. A node sees the tokens before the root, and of the nodes those that the pass
says; a window leaves out what is too far back, as in `specdec.target.TreePass.mask`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.target import Chunk, Window
from specdec_cuda.jit import Bytes, Count, Longs, Number, Size, States, kernel

NODES = tl.constexpr(16)
COLUMNS = tl.constexpr(128)
"""Nodes and columns of one program."""


def mask(
    visible: Bool[Tensor, "R M C"],
    depths: Int[Tensor, "R C"],
    lengths: Int[Tensor, " R"],
    end: int,
    dtype: torch.dtype,
    window: Window | None = None,
) -> Float[Tensor, "R 1 M T"]:
    """Make the mask of a pass that reads `end` columns, of the parts of its `TreePass`."""
    rows, nodes, columns = visible.shape
    made = torch.empty(rows, 1, nodes, end, dtype=dtype, device=visible.device)
    size, chunked = window.size if isinstance(window, Chunk) else window or 0, int(isinstance(window, Chunk))
    grid = triton.cdiv(end, int(COLUMNS)), triton.cdiv(nodes, int(NODES)), rows
    lowest = torch.finfo(dtype).min
    parts = visible.contiguous().view(torch.uint8), depths.contiguous(), lengths.contiguous()
    mask_kernel[grid](*parts, made, nodes, columns, end, size, chunked, lowest)
    return made


@kernel(warps=4)
def mask_kernel(
    visible: Bytes,
    depths: Longs,
    lengths: Longs,
    made: States,
    nodes: Count,
    columns: Count,
    end: Size,
    window: Count,
    chunked: Count,
    lowest: Number,
    node_block: tl.constexpr = NODES,
    column_block: tl.constexpr = COLUMNS,
) -> None:
    """On a grid of blocks of columns, blocks of nodes, and rows; a window of 0 is none."""
    row = tl.program_id(2)
    node = tl.program_id(1) * node_block + tl.arange(0, node_block)[:, None]
    column = tl.program_id(0) * column_block + tl.arange(0, column_block)[None, :]
    length = tl.load(lengths + row).to(tl.int32)
    of_row = depths + row * columns
    depth = tl.load(of_row + columns - nodes + node, mask=node < nodes, other=0).to(tl.int32)
    begin = length + depth - window + 1
    begin = tl.where(chunked > 0, length + depth - (length + depth) % tl.maximum(window, 1), begin)
    begin = tl.where(window > 0, begin, 0)

    place = column - length  # among the nodes that the pass knows of
    is_node = (place >= 0) & (place < columns)
    position = length + tl.load(of_row + place, mask=is_node, other=0).to(tl.int32)
    sight = visible + (row * nodes + node).to(tl.int64) * columns + place
    seen_node = tl.load(sight, mask=is_node & (node < nodes), other=0) != 0
    seen = ((column < length) & (column >= begin)) | (seen_node & (position >= begin))
    values = tl.where(seen, 0.0, lowest).to(made.dtype.element_ty)
    at = made + (row * nodes + node).to(tl.int64) * end + column
    tl.store(at, values, mask=(node < nodes) & (column < end))
