"""Connecting to a target on a server, with its traffic and the state of the line."""

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from specdec.cli.remote import LOCAL, Offline, RemoteOptions
from specdec.cli.status import Status
from specdec.errors import OptionError
from specdec.interfaces import Drafter, Transport, Verifier
from specdec.plugins import load_transport, plugins
from specdec.remote import Connect, Dialer, Failover, Host, Journal, Remote
from specdec.split import Server
from specdec.target import Target
from specdec.target.loading import model_folder
from specdec.transports import Counting, Traffic


@frozen(eq=False)
class RemoteTarget:
    """A remote target; `verifier` is the same with fail-over, unless `--offline stop` excludes that.

    `traffic` and `status` follow the line. `restored` is the number of tokens that the journal had at the start.
    """

    remote: Remote
    verifier: Verifier
    traffic: Traffic
    status: Status
    restored: int


@define(eq=False)
class WatchedConnect:
    """Makes lines whose traffic is counted, and reports when one is made again."""

    connect: Connect
    status: Status
    traffic: Traffic = field(factory=Traffic)
    _before: bool = False

    def __call__(self) -> Transport:
        """Make a new line."""
        if self._before:
            self.status.lost()
        self._before = True
        line = Counting(self.connect(), self.traffic)
        self.status.connected()
        return line


def connect_to(options: RemoteOptions, files: str, tell: Callable[[str], None]) -> RemoteTarget:
    """Connect to a target on a server; `files` has its tokenizer, and `tell` gets messages on the state of the line.

    Raises:
        OptionError: there is no such transport, or an option is invalid.
        TransportError: the server cannot be reached, or rejects this client.
        VocabularyMismatch: its target has another tokenizer.
    """
    address, token = options.address or "", options.token()
    scheme = _scheme(address)
    own = {} if token is None else {"token": token}
    dialer = Dialer(lambda: load_transport(scheme, address, **own))
    return _connect(dialer, options, tell, files=model_folder(files))


def connect_here(options: RemoteOptions, target: Target, drafter: Drafter) -> RemoteTarget:
    """Serve a target, with the drafter's encoder, in a thread of this process, and connect to it.

    Raises:
        OptionError: the target's rule cannot be served, or an option is invalid.
    """
    host = Host(Server.of(target, [drafter]))
    made = _connect(host.connect, options, lambda _: None, tokenizer=target.tokenizer)
    for verifier in (made.remote, made.verifier):
        verifier.generation_config = target.generation_config
    return made


def check_encoder(remote: Remote, drafter: Drafter, spec: str) -> None:
    """Check that a server has a drafter's encoder.

    Raises:
        OptionError: it does not; the message says how to start one that does.
    """
    encoder = drafter.needs.encoder
    if encoder is not None and encoder.digest not in remote.encoders:
        raise OptionError(
            f"expected a server that runs the encoder of this drafter, as one started with --drafter {spec} does; "
            f"got one with {len(remote.encoders) or 'no'} encoders of others"
        )


def _connect(connect: Connect, options: RemoteOptions, tell: Callable[[str], None], **target: Any) -> RemoteTarget:
    status = Status(options.address or "", tell)
    watch = WatchedConnect(connect, status)
    journal = None if options.journal is None else Journal(options.journal)
    restored = sum(len(chapter.decided) for chapter in journal.chapters.values()) if journal else 0
    remote = Remote(watch, codec=options.codec, patience=options.patience, journal=journal, **target)
    stops = options.offline is Offline.STOP
    verifier = remote if stops else Failover(remote, keep=options.offline is Offline.KEEP)
    return RemoteTarget(remote, verifier, watch.traffic, status, restored)


def _scheme(address: str) -> str:
    """The name of the transport with which an address begins.

    Raises:
        OptionError: there is no such transport; the message says what to install.
    """
    scheme, colon, _ = address.partition(":")
    known = sorted(entry.name for entry in plugins().entries if entry.kind == "transport")
    if not colon or scheme not in known or scheme == LOCAL.removesuffix(":"):
        brings = (
            "" if "ws" in known else "; `pip install ./contrib/specdec_serve` in specdec's repository brings ws and wss"
        )
        raise OptionError(
            f"expected an address that begins with a transport, of {', '.join(known)}, as ws://HOST:PORT or {LOCAL}; "
            f"got {address!r}{brings}"
        )
    return scheme
