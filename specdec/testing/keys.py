"""A `Chance` that watches its keys: one key, one question, one step."""

from typing import Any

import numpy as np

from specdec.chance import Chance, Key, Keyed, Probs, Purpose
from specdec.testing.exhaustive import KeyReused


class KeyAudit(Chance):
    """Asserts that no key is used for two purposes or in two steps; the sequences must have different seeds.

    Call `next_step` between steps. The noise of the target may be looked at by a drafter as often as it likes: sharing
    it is what it is for. All else that is random serves once.
    """

    def __init__(self, chance: Chance | None = None) -> None:
        self.used: dict[Key, tuple[int, object]] = {}
        self.shared: set[Key] = set()
        self._chance, self._step = chance or Keyed(), 0

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        if np.count_nonzero(weights) > 1 and count:
            self._record(key, ("draw", weights.tobytes(), count))
        return self._chance.draw(weights, count, key)

    def coin(self, accept: Any, of: Any, key: Key) -> bool:
        if 0 < accept < of:
            self._record(key, ("coin", float(accept), float(of)))
        return self._chance.coin(accept, of, key)

    def noise(self, key: Key, size: int) -> np.ndarray[Any, np.dtype[np.float32]] | None:
        if key.purpose is not Purpose.TARGET:
            raise KeyReused(f"expected only the target's noise to be shared, got {key}")
        self.shared.add(key)
        return self._chance.noise(key, size)

    def next_step(self) -> None:
        """Begin the next step: every key used so far is spent."""
        self._step += 1

    def _record(self, key: Key, question: object) -> None:
        step, known = self.used.setdefault(key, (self._step, question))
        if step != self._step:
            raise KeyReused(f"expected a new key in step {self._step}, got {key} of step {step} again")
        if known != question:
            raise KeyReused(f"expected one chance for {key}, got two")
