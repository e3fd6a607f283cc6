"""Four times as much as a server lets in: queues keep their limits, all finish, and others lose nothing."""

from collections import deque

from specdec import Decoder, Sampling, Stop, Target, Tree
from specdec.drafters import NoDrafter
from specdec.split import Connection, Limits, Server
from specdec.split.client import Client
from specdec.split.messages import Open, pack_tokens
from specdec.split.text import RemoteText
from tests.remote.hosts import toy

LENGTH = 6
LIMITS = Limits(tenant_sessions=4, tenant_waiting=3, sessions=8)


class Peer:
    """A client of one text, which it has the target continue token by token."""

    def __init__(self, server: Server, tenant: str, number: int) -> None:
        self.server, self.client, self.arrived = server, Client(), deque[bytes]()
        self.connection = Connection(self.arrived.append, tenant)
        self.prompt = [number + 1, 2, 3]
        opening = Open(bytes([number]) * 16, 0, pack_tokens(self.prompt), {}, (), (), (), False, "", "float32", None)
        self.text, self.answers = RemoteText(opening, list(self.prompt)), list[int]()
        server.connect(self.connection)
        self.client.begin()
        self.client.join(self.text)

    @property
    def done(self) -> bool:
        return len(self.text.tokens) >= len(self.prompt) + LENGTH

    def talk(self, turn: int) -> None:
        """Read what has come, and say what is to be said; `turn` counts the server's turns."""
        now = float(turn)
        while self.arrived:
            self.client.receive(self.arrived.popleft(), now)
        if self.text.answered:
            self.text.take()
            self.answers.append(turn)
        if not self.done and self.text.asked is None:
            self.client.ask(self.text, Tree.root(self.text.tokens[-1]), 1000.0)
        self.client.remind(now)
        while self.client.outbox:
            self.server.receive(self.connection, self.client.outbox.popleft())


def test_who_floods_a_server_waits_alone() -> None:
    target = toy()
    server = Server.of(Target(target.model), limits=LIMITS, clock=lambda: float(turn))
    turn = 0
    flood = [Peer(server, "flood", number) for number in range(16)]
    other = Peer(server, "other", 20)
    while not all(peer.done for peer in (*flood, other)):
        for peer in (*flood, other):
            peer.talk(turn)
            assert server.store.waiting("flood") <= LIMITS.tenant_waiting
            assert len(server.store.of("flood")) <= LIMITS.tenant_sessions
        server.tick()
        turn += 1
        assert turn < 1000

    assert other.answers == list(range(other.answers[0], other.answers[0] + LENGTH))  # one in each turn
    for peer in (*flood, other):
        wanted = Decoder(NoDrafter(), target).generate(peer.prompt, Sampling(), Stop(LENGTH)).tokens[0]
        assert tuple(peer.text.tokens[len(peer.prompt) :]) == wanted
