"""One short exchange with a server, over lines that change or cut it at any place."""

from collections.abc import Callable
from math import inf

from specdec import Context, Decoder, Drafter, Needs, Sampling, Stop, Target, Transport, Tree, TreePolicy
from specdec.drafters import NoDrafter
from specdec.remote import Remote
from specdec.split import Server
from tests.remote.hosts import Inline, Lines
from tests.toys import VOCAB

PROMPT, SAMPLING, STOP = [5, 6, 7, 5, 6], Sampling(temperature=0.8, seed=11), Stop(max_tokens=5)
WAYS = ("up", "down")

Spoil = Callable[[str, bytes], bytes | None]
"""Takes which way a message goes, and itself; gives what arrives of it, or None if the line is cut before its end."""


class Reading(Drafter):
    """Drafts what it reads in the target's features, right or wrong."""

    needs = Needs(hidden_states=(-1,))

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        tree = Tree.root(context.tokens[0][-1])
        for part in context.features:
            if part.features.hidden is not None and part.lengths[0]:
                guess = int(part.features.hidden[0, part.lengths[0] - 1].abs().sum().nan_to_num(0.0, 0.0) * 100) % VOCAB
                tree = tree.place([(guess, 0, 0.0), ((guess + 1) % VOCAB, 0, 0.0)][: context.room[0]])
                break
        return [tree]


class Line(Inline):
    """A line on which messages are spoilt."""

    def __init__(self, server: Server, spoil: Spoil) -> None:
        self.spoil = spoil
        super().__init__(server)

    def send(self, message: bytes) -> None:
        self._check()
        if (left := self.spoil("up", message)) is None:
            self.close()
        else:
            super().send(left)

    def _arrive(self, message: bytes) -> None:
        if not self.cut:
            if (left := self.spoil("down", message)) is None:
                self.close()
            else:
                super()._arrive(left)


class SpoiltLines(Lines):
    """Lines on which messages are spoilt."""

    def __init__(self, server: Server, spoil: Spoil) -> None:
        super().__init__(server)
        self.spoil = spoil

    def connect(self) -> Transport:
        self.made.append(Line(self.server, self.spoil))
        return self.made[-1]


class Places:
    """Spoils the message with the byte `place` of a direction in it, once: `change` gets it, and where the byte is."""

    def __init__(self, way: str, place: float, change: Callable[[bytes, int], bytes | None]) -> None:
        self.way, self.place, self.change, self.count = way, place, change, 0

    def __call__(self, way: str, message: bytes) -> bytes | None:
        if way != self.way:
            return message
        start, self.count = self.count, self.count + len(message)
        if not start <= self.place < self.count:
            return message
        place, self.place = int(self.place) - start, inf
        return self.change(message, place)


class Exchange:
    """A target, its text, and what goes each way until it is said."""

    def __init__(self, target: Target) -> None:
        self.server = Server.of(target)
        self.wanted = Decoder(NoDrafter(), Target(target.model)).generate([PROMPT], SAMPLING, STOP).tokens
        self.messages: dict[str, list[bytes]] = {way: [] for way in WAYS}

        def record(way: str, message: bytes) -> bytes:
            self.messages[way].append(message)
            return message

        assert self.run(record) == self.wanted

    def size(self, way: str) -> int:
        """Bytes of a direction."""
        return sum(map(len, self.messages[way]))

    def run(self, spoil: Spoil) -> object:
        """Generate the text over lines that spoil it."""
        lines = SpoiltLines(self.server, spoil)
        remote = Remote(lines.connect, codec="int8", patience=2.0, clock=lines.clock, sleep=lines.sleep)
        try:
            with Decoder(Reading(), remote) as decoder:
                return decoder.generate([PROMPT], SAMPLING, STOP).tokens
        finally:
            remote.link.drop()
            self.server.store.forget(list(self.server.store.records))


def flip(message: bytes, bit: int) -> bytes:
    """Flip a bit: bit 8n is the lowest one of byte n."""
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
