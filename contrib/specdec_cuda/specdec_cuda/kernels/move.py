"""Keys and values of the accepted path, moved together in place.

Exact: numbers are copied as they are. A path's nodes rise, so that the k-th of it, from 0, is node k or a later one: no
column is written before what it holds is read, and one thread reads and writes a number at its place in all columns.
"""

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Count, Longs, Size, States, Stride, kernel


def move(
    block: Float[Tensor, "P S H C D"], slots: Int[Tensor, " R"], starts: Int[Tensor, " R"], paths: Int[Tensor, "R K"]
) -> None:
    """Move the columns of each path, counted from its start, to the start and on from there, as `SlotCache.move`."""
    parts, _, heads, _, size = block.shape
    rows, length = paths.shape
    numbers = (slots.contiguous(), starts.contiguous(), paths.contiguous())
    width = triton.next_power_of_2(size)
    move_kernel[heads, parts, rows](block, *numbers, *block.stride()[:4], size, length, width=width)


@kernel(warps=1)
def move_kernel(
    block: States,
    slots: Longs,
    starts: Longs,
    paths: Longs,
    part_stride: Stride,
    slot_stride: Stride,
    head_stride: Stride,
    column_stride: Stride,
    size: Size,
    length: Count,
    width: tl.constexpr = 128,
) -> None:
    """On a grid of heads, parts and rows."""
    head, part, row = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64), tl.program_id(2)
    slot, start = tl.load(slots + row), tl.load(starts + row)
    number = tl.arange(0, width)
    there = number < size
    states = block + part * part_stride + slot * slot_stride + head * head_stride + start * column_stride + number
    for place in range(length):
        node = tl.load(paths + row * length + place)
        if node != place:
            state = tl.load(states + node * column_stride, mask=there)
            tl.store(states + place * column_stride, state, mask=there)
