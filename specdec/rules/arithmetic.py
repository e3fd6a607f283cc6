"""What rules do with rows of probabilities: rows stay as they are, single numbers are as precise as they come.

All of it works on rows of floats and of Fractions alike, so that what is proved in rationals is what ships.
"""

from typing import Any

import numpy as np

from specdec.chance import Probs


def total(row: Probs) -> Any:
    """Sum a row in double precision, or exactly if it is of Fractions."""
    wide = row.dtype if row.dtype.hasobject else np.float64
    return row.sum(dtype=wide, keepdims=True).item()


def without(row: Probs, token: int) -> Probs:
    """Take one token's mass out."""
    left = row.copy()
    left[token] = 0
    return left


def left_over(p: Probs, q: Probs | None, token: int) -> Probs:
    """Give what a rejected child leaves of `p`: all but its token if it was placed, else what `p` has over `q`."""
    if q is None:
        return without(p, token)
    left, known = p.copy(), len(q)  # a drafter may know fewer tokens than its target
    left[:known] = np.maximum(p[:known] - q, 0)
    return left


def normalised(row: Probs, otherwise: Probs) -> Probs:
    """Scale to a sum of one. A sum of zero is rounding: it has probability zero, so nothing was used up."""
    mass = total(row)
    return row / mass if mass > 0 else otherwise
