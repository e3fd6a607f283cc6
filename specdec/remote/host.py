"""The thread that runs a server and makes all passes of the target; other threads read the lines."""

import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from traceback import format_tb

from attrs import define, field

from specdec.errors import ConnectionLost
from specdec.interfaces import Transport
from specdec.split.record import Connection
from specdec.split.server import Server
from specdec.transports.local import pipe

IDLE = 1.0
"""Seconds after which a server without work looks for idle sessions to drop."""

AHEAD = 16
"""Messages of a line that may wait for the server's thread, besides those of its sessions."""
LARGE = 2**16
"""Bytes for each of which a message counts as one more."""

Work = Callable[[], object]
LOG = logging.getLogger(__name__)


@define(eq=False)
class Host:
    """Runs a server in a thread of its own, which takes work from a queue and never waits for a line."""

    server: Server
    _work: SimpleQueue[Work | None] = field(factory=SimpleQueue, init=False)
    _lines: dict[Transport, None] = field(factory=dict, init=False)
    _closed: bool = field(default=False, init=False)
    _thread: Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = Thread(target=self._run, name="specdec server", daemon=True)
        self._thread.start()

    def listen(self, name: str) -> "Host":
        """Make it available in this process at the address `local:NAME`."""
        _LISTENING[name] = self
        return self

    @staticmethod
    def find(name: str) -> "Host":
        """Find the host that listens by a name.

        Raises:
            ConnectionLost: there is none.
        """
        if (host := _LISTENING.get(name)) is None:
            raise ConnectionLost(f"expected a server of this process by the name {name!r}, got none")
        return host

    @property
    def ahead(self) -> int:
        """The number of a line's messages that may wait for the server's thread; meanwhile the line is not read.

        A client may open all its sessions at once, close others, and have trees verified. While its line is not read,
        its pings are not answered, and it takes the line for broken.
        """
        return AHEAD + 4 * self.server.limits.tenant_sessions

    def weigh(self, data: bytes) -> int:
        """Count a message as one or more, by its size, so that those that wait fill little memory."""
        return min(1 + len(data) // LARGE, self.ahead)

    def submit(self, work: Work) -> None:
        """Have the server's thread call `work` before its next turn."""
        self._work.put(work)

    def serve(self, transport: Transport, tenant: str = "") -> None:
        """Read a line and hand its messages to the server, until it breaks."""

        def send(data: bytes) -> None:
            try:
                transport.send(data)
            except Exception:  # whatever the transport raises, other lines are not affected
                self.submit(lambda: self.server.disconnect(connection))

        connection = Connection(send, tenant)
        self._lines[transport] = None
        if self._closed:
            transport.close()
        self.submit(lambda: self.server.connect(connection))
        hand = self.hand(connection)
        try:
            while True:
                hand(transport.receive())
        except (ConnectionLost, OSError):  # some transports do not translate their errors
            pass
        finally:
            self.submit(lambda: self.server.disconnect(connection))
            del self._lines[transport]

    def hand(self, connection: Connection) -> Callable[[bytes], None]:
        """Make the function that hands a line's messages to the server's thread.

        It blocks while `ahead` of them wait, and raises `ConnectionLost` once the server was stopped.
        """
        room = Semaphore(self.ahead)

        def take(data: bytes) -> None:
            try:
                self.server.receive(connection, data)
            finally:
                room.release(self.weigh(data))

        def put(data: bytes) -> None:
            for _ in range(self.weigh(data)):  # by the line's only reader
                while not room.acquire(timeout=IDLE):
                    if self._closed:
                        raise ConnectionLost("the server was stopped")
            self.submit(lambda: take(data))

        return put

    def connect(self, tenant: str = "") -> Transport:
        """Connect to the server from inside this process.

        Raises:
            ConnectionLost: the server was stopped.
        """
        if self._closed:
            raise ConnectionLost("expected a server that runs, got one that was stopped")
        near, far = pipe()
        Thread(target=self.serve, args=[far, tenant], name="specdec line", daemon=True).start()
        return near

    def close(self) -> None:
        """Stop at the end of the turn, and break all lines."""
        self._closed = True
        for name in [name for name, host in _LISTENING.items() if host is self]:
            del _LISTENING[name]
        self._work.put(None)
        self._thread.join()
        for transport in list(self._lines):
            transport.close()

    def _run(self) -> None:
        patience = IDLE
        while self._do(patience):
            succeeded = _try(self.server.tick)
            patience = 0.0 if succeeded and self.server.busy else IDLE

    def _do(self, patience: float) -> bool:
        """Do the work that is queued, waiting at most `patience` seconds for some; say whether a turn is to follow.

        What is queued meanwhile waits until after that turn: a client that sends without pause would stop the others.
        """
        try:
            first = self._work.get(timeout=patience)
        except Empty:
            return True
        for work in (first, *[self._work.get() for _ in range(self._work.qsize())]):  # no other thread takes any
            if work is None:
                return False
            _try(work)
        return True


def _try(work: Work) -> bool:
    """Do some work; say whether it succeeded. An error is logged, without its text, which may quote a user's.

    It must not end the server's thread, on which all clients depend.
    """
    try:
        work()
    except Exception as error:
        frames = "".join(format_tb(error.__traceback__))
        LOG.error("the server's thread continues after an error: %s\n%s", type(error).__name__, frames)
        return False
    return True


_LISTENING: dict[str, Host] = {}
