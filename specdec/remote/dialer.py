"""Connecting in the background."""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from threading import Thread

from attrs import define, field

from specdec.errors import ConnectionLost
from specdec.interfaces import Transport
from specdec.remote.link import Connect

MOMENT = 0.1
"""Seconds to wait for a line: an attempt may take many more, during which a drafter can continue."""


@define(eq=False)
class Dialer:
    """Connects in a thread of its own; a call returns the line if it is ready within `moment` seconds."""

    connect: Connect
    moment: float = MOMENT
    _dialing: Future[Transport] | None = field(default=None, init=False)
    _failed: str = field(default="", init=False)

    def __call__(self) -> Transport:
        """Return the line; while it is not ready yet, the error says why the last attempt failed.

        Raises:
            ConnectionLost: it is not ready yet, and a later call may return it; or the attempt failed.
            SpecdecError: any other error of `connect`.
        """
        if self._dialing is None:
            self._dialing = dialing = Future[Transport]()
            Thread(target=_dial, args=[self.connect, dialing], name="specdec dialer", daemon=True).start()
        try:
            self._dialing.exception(self.moment)
        except NotYet:
            raise ConnectionLost(self._failed or "expected a line to the server, got none yet") from None
        made, self._dialing = self._dialing, None
        self._failed = str(made.exception() or "")
        return made.result()

    def __del__(self) -> None:
        if self._dialing is not None:
            self._dialing.add_done_callback(_hang_up)


def _dial(connect: Connect, dialing: Future[Transport]) -> None:
    try:
        dialing.set_result(connect())
    except BaseException as error:
        dialing.set_exception(error)


def _hang_up(made: Future[Transport]) -> None:
    """Close a line that was ready too late to be used."""
    if made.exception() is None:
        made.result().close()
