"""Randomness by key: the same key always gives the same chance, and no generator is ever stepped.

`Keyed`, the one that ships, reads numpy's Philox4x64-10 (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011) at

    key = (seed, position)        counter = (block, node, purpose, 0)

and its logarithms are those of `specdec.canonical`, so any language that has Philox repeats it bit for bit.
A choice by weights is an exponential race, `argmax w / E`: the winners have small `E`, where float32 is precise,
and a weight of zero never wins. A choice by scores is the same race in logarithms (Gumbel-max),
`argmax score + temperature * G` with `G = -log E`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Float
from torch import Tensor

from specdec.canonical import Floats, Words, exponentials, gumbels

Probs = np.ndarray[Any, np.dtype[Any]]
"""Probabilities, one per token: floats, or Fractions where a proof wants them."""


class Purpose(IntEnum):
    """What a chance is for; two purposes never share a random number."""

    TARGET = 0
    DRAFT = 1
    ACCEPT = 2
    RESIDUAL = 3


class Key(NamedTuple):
    """The name of one chance.

    `position` counts tokens from the start of the sequence. `TARGET` chances have the position of the token
    that they decide, and no node; all others that of the root of their step, and a node of its tree.
    """

    seed: int
    position: int
    purpose: Purpose
    node: int = 0


class Chance(ABC):
    """Where every random decision comes from."""

    @abstractmethod
    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        """Draw `count` different indices in turn, each in proportion to the weights that are left.

        Returns fewer when fewer have weight. Weights need not sum to one.
        """

    @abstractmethod
    def coin(self, accept: Any, of: Any, key: Key) -> bool:
        """Come up true with probability `min(1, accept / of)`; never when `accept` is zero."""

    def noise(self, key: Key, size: int) -> Floats | None:
        """Give the Gumbel noise by which `draw` decides under this key, or None if there is none to share."""
        return None

    def noise_on(
        self, device: torch.device, keys: Sequence[Key], scales: Sequence[float], size: int
    ) -> Float[Tensor, "K V"] | None:
        """Make the noise of some keys on a device, each times its scale; None if the host makes it, as by default."""
        return None

    def pick(self, weights: Probs, key: Key) -> int:
        """Draw one index in proportion to the weights."""
        return self.draw(weights, 1, key)[0]


class Keyed(Chance):
    """Counter-based: a pure function of the key, the same on every machine."""

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        possible = weights != 0
        choices = int(np.count_nonzero(possible))
        if choices <= 1 or count == 0:  # nothing is left to chance, as when decoding greedily
            certain: list[int] = possible.nonzero()[0][:count].tolist()
            return certain
        pace = weights / exponentials(_halves(key, len(weights))).astype(weights.dtype, copy=False)
        pace[~possible] = -1  # after whatever has weight, even where its pace is rounded to zero
        order = list[int]()
        for _ in range(min(count, choices)):
            order.append(int(pace.argmax()))
            pace[order[-1]] = -1
        return order

    def coin(self, accept: Any, of: Any, key: Key) -> bool:
        word = int(_words(key, 1)[0]) >> 11  # 53 bits: u in [0, 1)
        return word * 2.0**-53 * float(of) < float(accept)

    def noise(self, key: Key, size: int) -> Floats:
        """Give the noise, read-only; while a sequence holds it, drafter and target are given the same array."""
        noise = _HELD.get((key, size))
        if noise is None:
            noise = _HELD[key, size] = gumbels(_halves(key, size))
            noise.flags.writeable = False
        return noise


_HELD: WeakValueDictionary[tuple[Key, int], Floats] = WeakValueDictionary()
"""The noise that some sequence holds."""


class Noise:
    """The Gumbel noise of one sequence by position; what lies ahead is computed once, however often it is drafted."""

    def __init__(self, chance: Chance, seed: int) -> None:
        self.chance, self.seed = chance, seed
        self._ahead: dict[tuple[int, int], Floats | None] = {}

    def at(self, position: int, size: int) -> Floats | None:
        """Give the noise by which the token at this position is chosen, read-only; None if there is none to share."""
        if (position, size) not in self._ahead:
            self._ahead[position, size] = self.chance.noise(Key(self.seed, position, Purpose.TARGET), size)
        return self._ahead[position, size]

    def dice(self, root: int) -> "Dice":
        """Give the chances of the step with this root, and forget the noise of positions up to it."""
        self._ahead = {place: noise for place, noise in self._ahead.items() if place[0] > root}
        return Dice(self.chance, self.seed, root, self)


@frozen
class Dice:
    """The chances of one sequence in one step: what rules and trees are given.

    `root` is the position of the step's root, counted from the start of the sequence.
    """

    chance: Chance
    seed: int
    root: int
    _noise: Noise | None = field(default=None, eq=False, repr=False)

    def key(self, depth: int) -> Key:
        """Name the chance of the token after a node at this depth."""
        return Key(self.seed, self.root + depth + 1, Purpose.TARGET)

    def target(self, weights: Probs, depth: int) -> int:
        """Pick the token after a node at this depth, with the noise that belongs to its position."""
        return self.chance.pick(weights, self.key(depth))

    def draft(self, weights: Probs, count: int, node: int) -> list[int]:
        """Draw tokens for new children, of which `node` will be the first."""
        return self.chance.draw(weights, count, Key(self.seed, self.root, Purpose.DRAFT, node))

    def accept(self, numerator: Any, denominator: Any, node: int) -> bool:
        """Accept a node with probability `min(1, numerator / denominator)`."""
        return self.chance.coin(numerator, denominator, Key(self.seed, self.root, Purpose.ACCEPT, node))

    def residual(self, weights: Probs, node: int) -> int:
        """Pick the token that follows the last accepted node."""
        return self.chance.pick(weights, Key(self.seed, self.root, Purpose.RESIDUAL, node))

    def noise(self, depth: int, size: int) -> Floats | None:
        """Give the noise by which `target` decides after a node at this depth, for drafters to share."""
        noise = self._noise or Noise(self.chance, self.seed)
        return noise.at(self.root + depth + 1, size)

    def scaled_noise(self, depths: Sequence[int], size: int, temperature: float) -> Floats | None:
        """Multiply the noise after nodes at these depths by the temperature, [len(depths), size]."""
        scaled = np.empty((len(depths), size), np.float32)
        for place, depth in enumerate(depths):
            noise = self.noise(depth, size)
            if noise is None:
                return None
            np.multiply(noise, temperature, out=scaled[place])
        return scaled


def _words(key: Key, count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    counter = [0, key.node, int(key.purpose), 0]
    words = np.array([key.seed, key.position], dtype=np.uint64)  # a plain list would pass through floats
    philox = np.random.Philox(key=words, counter=counter)
    return philox.random_raw(count)


def _halves(key: Key, count: int) -> Words:
    """Give words of 32 bits, the low half of each of Philox's first."""
    return _words(key, (count + 1) // 2).astype("<u8", copy=False).view("<u4")[:count]
