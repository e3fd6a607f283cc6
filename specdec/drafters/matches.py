"""Where some tokens occurred before in a sequence."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

Tokens = Int[np.ndarray, " _"]


def matches(text: Tokens, suffix: Sequence[int]) -> Iterator[Tokens]:
    """Give the places of the last token of `suffix`, then where the last two end, and so on, while there are any.

    Only places that another token follows.
    """
    ends = np.arange(len(text) - 1)
    for length, token in enumerate(reversed(suffix)):
        ends = ends[ends >= length]
        ends = ends[text[ends - length] == token]
        if not len(ends):
            return
        yield ends
