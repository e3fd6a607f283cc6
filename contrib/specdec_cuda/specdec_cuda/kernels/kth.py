"""The k-th largest number of a row, without sorting it.

Exact: numbers have whole ones in their order, of 32 bits. These are found from the top, eight bits at a time: how many
numbers that begin as found so far have each digit next, and with which digit do as many as are wanted have it or a
higher one. There is only counting; equal numbers count as often as they occur, as in `Tensor.topk`.
"""

import torch
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Floats, Ints, Logits, Size, Stride, Value, device, kernel
from specdec_cuda.kernels.keys import number, order

BLOCK = tl.constexpr(4096)
"""Numbers that are read together."""
SIGN = tl.constexpr(-(2**31))


def kth(numbers: Float[Tensor, "K V"], k: Int[Tensor, " K"]) -> Float[Tensor, " K"]:
    """Find the k-th largest number of each row, k from 1 to V; rows hold no NaN."""
    found = torch.empty(len(numbers), device=numbers.device)
    kth_kernel[(len(numbers),)](numbers, k, found, numbers.shape[1], numbers.stride(0))
    return found


@kernel(warps=8)
def kth_kernel(
    numbers: Logits, k: Ints, found: Floats, size: Size, stride: Stride, block: tl.constexpr = BLOCK
) -> None:
    """On a grid of rows."""
    row = tl.program_id(0)
    tl.store(found + row, kth_largest(numbers + row.to(tl.int64) * stride, tl.load(k + row), size, block))


@device
def kth_largest(numbers: Value, k: Value, size: Value, block: tl.constexpr) -> Value:
    """Find the k-th largest of the numbers from this pointer on."""
    digit = tl.arange(0, 256)
    prefix = tl.zeros([], tl.uint32)
    for level in range(4):
        shift = 24 - 8 * level
        counts = tl.zeros([256], tl.int32)
        for first in range(0, size, block):
            place = first + tl.arange(0, block)
            among = place < size
            x = tl.load(numbers + place, mask=among, other=0).to(tl.float32)
            rank = (order(x) ^ SIGN).to(tl.uint32, bitcast=True)  # of which the least is 0
            among = among & ((rank ^ prefix) >> shift >> 8 == 0)
            counts += tl.histogram((rank >> shift & 255).to(tl.int32), 256, mask=among)
        at_least = tl.cumsum(counts, 0, reverse=True)
        next_digit = tl.max(tl.where(at_least >= k, digit, 0), 0)
        k -= tl.sum(tl.where(digit > next_digit, counts, 0), 0)
        prefix = prefix | (next_digit.to(tl.uint32) << shift)
    return number(prefix.to(tl.int32, bitcast=True) ^ SIGN)
