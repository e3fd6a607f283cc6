"""Counting a transport's traffic."""

from attrs import define, evolve

from specdec.interfaces import Transport


@define
class Traffic:
    """Bytes of whole messages sent and received, without the transport's own framing.

    A round trip is a message received after one was sent: messages sent together, or received together, count once.
    """

    bytes_up: int = 0
    bytes_down: int = 0
    round_trips: int = 0
    _asked: bool = False

    def up(self, message: bytes) -> None:
        """Count a message that was sent."""
        self.bytes_up += len(message)
        self._asked = True

    def down(self, message: bytes) -> None:
        """Count a message that was received."""
        self.bytes_down += len(message)
        self.round_trips += self._asked
        self._asked = False

    def copy(self) -> "Traffic":
        """Copy the counts as they are now."""
        return evolve(self)

    def since(self, before: "Traffic") -> "Traffic":
        """The counts since a copy was made."""
        up, down = self.bytes_up - before.bytes_up, self.bytes_down - before.bytes_down
        return Traffic(up, down, self.round_trips - before.round_trips)


class Counting(Transport):
    """Counts what another transport carries; several may share one count."""

    def __init__(self, line: Transport, traffic: Traffic) -> None:
        self.line, self.traffic = line, traffic

    def send(self, message: bytes) -> None:
        self.line.send(message)
        self.traffic.up(message)

    def receive(self, timeout: float | None = None) -> bytes:
        message = self.line.receive(timeout)
        self.traffic.down(message)
        return message

    def close(self) -> None:
        self.line.close()
