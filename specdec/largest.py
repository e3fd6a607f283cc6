"""The largest numbers of rows, in order."""

from math import inf

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

FEW = 8
"""Up to so many are found faster one by one, on a CPU."""


def largest(log_q: Float[Tensor, "R M V"], count: int) -> list[list[list[tuple[int, float]]]]:
    """Find the places and the values of the largest numbers, in descending order; `log_q` is used up.

    A few are found one by one on a CPU, which is faster. Of equal numbers the first then comes first, as the target
    decides too; `topk` puts them in any order.
    """
    if count > FEW or log_q.device.type != "cpu":
        gains, tokens = log_q.topk(count)
        rows = torch.stack([tokens.to(torch.float64), gains.to(torch.float64)], -1).tolist()
    else:
        numbers = log_q.numpy()
        pairs = np.empty((*numbers.shape[:2], count, 2))
        for rank in range(count):
            place = numbers.argmax(-1)[..., None]
            pairs[..., rank, :1], pairs[..., rank, 1:] = place, np.take_along_axis(numbers, place, -1)
            np.put_along_axis(numbers, place, -inf, -1)
        rows = pairs.tolist()
    return [[[(int(place), value) for place, value in node] for node in row] for row in rows]
