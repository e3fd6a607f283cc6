"""Keys and values of the accepted path, moved together in place.

Exact: numbers are copied as they are. A path's nodes rise, so that the j-th of it, from 0, is node j or a later one: no
column is written before what it holds is read, and one thread reads and writes a number at its place in all columns.
"""

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Count, Ints, Longs, Size, States, Stride, kernel


def move(
    block: Float[Tensor, "P S H C D"], outcome: Int[Tensor, "R W"], slots: Int[Tensor, " R"], lengths: Int[Tensor, " R"]
) -> None:
    """Move the columns of each row's path to where the root's is, and on from there, in its slot of all parts."""
    parts, _, heads, _, size = block.shape
    width = triton.next_power_of_2(size)
    grid = heads, parts, len(slots)
    move_kernel[grid](block, outcome, slots, lengths, *block.stride()[:4], size, outcome.shape[1], width=width)


@kernel(warps=1)
def move_kernel(
    block: States,
    outcome: Ints,
    slots: Ints,
    lengths: Longs,
    part_stride: Stride,
    slot_stride: Stride,
    head_stride: Stride,
    column_stride: Stride,
    size: Size,
    outcome_width: Count,
    width: tl.constexpr = 128,
) -> None:
    """On a grid of heads, parts and rows."""
    head, part, row = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64), tl.program_id(2)
    path = outcome + row * outcome_width
    count = tl.load(path + outcome_width - 2)
    slot, root = tl.load(slots + row).to(tl.int64), tl.load(lengths + row) - 1
    number = tl.arange(0, width)
    there = number < size
    states = block + part * part_stride + slot * slot_stride + head * head_stride + root * column_stride + number
    for place in range(1, count):
        node = tl.load(path + place)
        if node != place:
            state = tl.load(states + node.to(tl.int64) * column_stride, mask=there)
            tl.store(states + place * column_stride, state, mask=there)
