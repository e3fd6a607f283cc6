"""A journal whose program ends while it writes."""

from pathlib import Path

from specdec.remote.journal import Journal
from specdec.testing.simulator.actor import Actor
from specdec.testing.simulator.world import LAST

TAIL = 400
"""Bytes that may be lost of what was written last."""


class TornJournal(Journal):
    """Writes a part of a record and ends its program, now and then."""

    def __init__(self, path: Path, actor: Actor, tears: float) -> None:
        self._actor, self._tears = actor, tears
        super().__init__(path)

    def _append(self, data: bytes) -> None:
        world = self._actor.world
        if world.now < LAST and world.chance(self._tears):
            super()._append(data[: world.random.randrange(len(data) + 1)])
            world.note("a journal is torn")
            self._actor.die()
        super()._append(data)


def tear(path: Path, actor: Actor) -> None:
    """Lose the last bytes of a file, as when its machine ended."""
    if path.exists() and actor.world.now < LAST:
        data = path.read_bytes()
        lost = actor.world.random.randrange(TAIL)
        path.write_bytes(data[: max(len(data) - lost, 0)])
        actor.world.note("a journal loses", lost, "bytes")
