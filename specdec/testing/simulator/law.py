"""What the toy target says after any text, and what a drafter reads of it: functions of the seed and the text alone."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

VOCABULARY = 8
END = 0
WIDTH = 4
"""Numbers of a hidden state."""
_MASK = 2**61 - 1


def after(tokens: Sequence[int], state: int = 1) -> int:
    """Give the state after a text, or after some more of it; no two texts of a simulation have the same."""
    for token in tokens:
        state = (state * 1_000_003 + token + 7) % _MASK
    return state


def say(seed: int, state: int) -> int:
    """Say what follows; one text in about 40 tokens ends of its own."""
    mixed = (state ^ seed * 0x9E3779B97F4A7C15) % _MASK * 0xBF58476D1CE4E5B9 % 2**64 >> 24
    return END if mixed % 41 == 0 else 1 + mixed % (VOCABULARY - 1)


def decode(seed: int, prompt: Sequence[int], most: int) -> list[int]:
    """Continue a text to its end, of at most so many tokens, one after the other."""
    text, state = list[int](), after(prompt)
    while len(text) < most and END not in text:
        text.append(say(seed, state))
        state = after(text[-1:], state)
    return text


def hidden_states(tokens: Sequence[int], start: int, end: int, layers: Sequence[int]) -> Float[Tensor, "K L E"]:
    """Give what a drafter reads of some of a text's tokens: whole numbers that any codec carries as they are."""
    rows, state = list[list[list[int]]](), after(tokens[:start])
    for token in tokens[start:end]:
        state = after([token], state)
        rows.append([[7, *(_digit(state, layer, place) for place in (1, 2, 3))] for layer in layers])
    return torch.tensor(rows, dtype=torch.float32).reshape(end - start, len(layers), WIDTH)


def _digit(state: int, layer: int, place: int) -> int:
    return (state >> 9 * place) * (2 * layer + 3) % 15 - 7
