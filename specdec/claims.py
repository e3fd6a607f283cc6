"""Which stream's batch a drafter or a verifier holds, so that none continues with another's."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

from attrs import field, frozen

from specdec.errors import BatchReplaced
from specdec.interfaces import Drafter, Verifier


@frozen(eq=False)
class Claim:
    """One stream's claim on the parts that hold its batch; a later claim on any of them ends it."""

    parts: tuple[Drafter | Verifier, ...]
    lock: Any = field(factory=RLock)
    """What works on the parts holds it; claims on the same drafter share it."""

    @staticmethod
    def of(drafter: Drafter, verifier: Verifier) -> "Claim":
        """Claim the verifier, and a drafter that keeps something of its batch, as those with a `begin` do."""
        keeps = type(drafter).begin is not Drafter.begin
        parts = (drafter, verifier) if keeps else (verifier,)
        with _CLAIMING:
            before = _CLAIMS.get(id(parts[0]))
            claim = Claim(parts, before.lock if before else RLock())
            for part in parts:
                _CLAIMS[id(part)] = claim  # a claim keeps its parts alive, so their ids stay theirs
        return claim

    @staticmethod
    def end(*parts: Drafter | Verifier) -> None:
        """End the claims on these parts, which are closed."""
        for part in parts:
            _CLAIMS.pop(id(part), None)

    def check(self) -> None:
        """Check that the parts have not been closed, and that no later stream has begun on them.

        Raises:
            BatchReplaced: one has; the message names it.
        """
        for part in self.parts:
            if _CLAIMS.get(id(part)) is not self:
                raise BatchReplaced(
                    f"expected {type(part).__name__} to hold this stream's batch still, but it was closed or another "
                    f"stream began on it; read a stream to its end first, or give each a drafter of its own"
                )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other threads from the parts during some work; check before it, and where it fails.

        Raises:
            BatchReplaced: as `check` does.
        """
        with self.lock:
            self.check()
            try:
                yield
            except Exception:
                self.check()
                raise


_CLAIMS: WeakValueDictionary[int, Claim] = WeakValueDictionary()
_CLAIMING = RLock()
