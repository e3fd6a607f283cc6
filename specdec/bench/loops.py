"""Whether a text goes round in circles, where any drafter looks good."""

from collections.abc import Sequence

GRAM = 8


def loops(tokens: Sequence[int]) -> bool:
    """Say whether fewer than half of the runs of eight tokens are distinct; texts of less than eight do not loop."""
    grams = [tuple(tokens[start : start + GRAM]) for start in range(len(tokens) - GRAM + 1)]
    return 2 * len(set(grams)) < len(grams)
