"""Lines that are made while something else is done."""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from threading import Thread

from attrs import define, field

from specdec.errors import ConnectionLost
from specdec.interfaces import Transport
from specdec.remote.link import Connect

MOMENT = 0.1
"""Seconds to wait for a line: where nobody answers connecting takes many, in which a drafter may continue."""


@define(eq=False)
class Dialer:
    """Makes lines in a thread of its own; a call gives one that is made within a moment, or was since the last call."""

    connect: Connect
    moment: float = MOMENT
    _dialing: Future[Transport] | None = field(default=None, init=False)
    _failed: str = field(default="", init=False)

    def __call__(self) -> Transport:
        """Give a line; while there is none yet, the error says why there was none before.

        Raises:
            ConnectionLost: there is none yet, and a later call may give it; or none can be made.
            SpecdecError: what else `connect` raises.
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
    """Close a line that nobody takes any more."""
    if made.exception() is None:
        made.result().close()
