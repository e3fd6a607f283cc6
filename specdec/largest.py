"""The largest numbers of rows, in order."""

from math import inf

import numpy as np
from jaxtyping import Float
from torch import Tensor

__all__ = ["largest"]

FEW = 8
"""Up to so many are found faster one by one, on a CPU."""


def largest(log_q: Float[Tensor, "R M V"], count: int) -> tuple[list[list[list[float]]], list[list[list[int]]]]:
    """Find the largest numbers and their places; `log_q` is used up.

    A few are found one by one on a CPU, which is faster. Of equal numbers the first then comes first, as the target
    decides too; `topk` puts them in any order.
    """
    if count > FEW or log_q.device.type != "cpu":
        gains, tokens = log_q.topk(count)
        return gains.tolist(), tokens.tolist()
    numbers = log_q.numpy()
    places = np.empty((*numbers.shape[:2], count), np.int64)
    values = np.empty(places.shape, numbers.dtype)
    for rank in range(count):
        places[..., rank] = place = numbers.argmax(-1)
        values[..., rank] = np.take_along_axis(numbers, place[..., None], -1)[..., 0]
        np.put_along_axis(numbers, place[..., None], -inf, -1)
    return values.tolist(), places.tolist()
