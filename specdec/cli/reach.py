"""A target that is reached through a server, with what tells of the line to it."""

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
class Reach:
    """The remote target, the same with what continues without it, and what counts and tells of the line.

    A journal had so many tokens of the text, `restored` before anything is decoded.
    """

    remote: Remote
    verifier: Verifier
    traffic: Traffic
    status: Status
    restored: int


@define(eq=False)
class Watch:
    """Makes lines whose traffic is counted, and tells when one has to be made again."""

    connect: Connect
    status: Status
    traffic: Traffic = field(factory=Traffic)
    _before: bool = False

    def __call__(self) -> Transport:
        """Give a new line."""
        if self._before:
            self.status.lost()
        self._before = True
        line = Counting(self.connect(), self.traffic)
        self.status.connected()
        return line


def reach(options: RemoteOptions, files: str, tell: Callable[[str], None]) -> Reach:
    """Reach a target on a server, whose `files` are at hand; `tell` is told what becomes of the line.

    Raises:
        OptionError: there is no such transport, or an option means nothing.
        TransportError: there is no server, or it does not let this client in.
        VocabularyMismatch: its target has another tokenizer.
    """
    address, token = options.address or "", options.token()
    scheme = _scheme(address)
    own = {} if token is None else {"token": token}
    dialer = Dialer(lambda: load_transport(scheme, address, **own))
    return _reach(dialer, options, tell, files=model_folder(files))


def reach_here(options: RemoteOptions, target: Target, drafter: Drafter) -> Reach:
    """Serve a target in a thread of this process, with what the drafter has run beside it, and reach it there.

    Raises:
        OptionError: the target's rule cannot be served, or an option means nothing.
    """
    host = Host(Server.of(target, [drafter]))
    made = _reach(host.connect, options, lambda _: None, tokenizer=target.tokenizer)
    for verifier in (made.remote, made.verifier):
        verifier.generation_config = target.generation_config
    return made


def check_encoder(remote: Remote, drafter: Drafter, spec: str) -> None:
    """Check that a server runs what a drafter has run beside the target.

    Raises:
        OptionError: it does not; the message says how to start it.
    """
    encoder = drafter.needs.encoder
    if encoder is not None and encoder.digest not in remote.encoders:
        raise OptionError(
            f"expected a server that runs the encoder of this drafter, as one started with --drafter {spec} does; "
            f"got one with {len(remote.encoders) or 'no'} encoders of others"
        )


def _reach(connect: Connect, options: RemoteOptions, tell: Callable[[str], None], **target: Any) -> Reach:
    status = Status(options.address or "", tell)
    watch = Watch(connect, status)
    journal = None if options.journal is None else Journal(options.journal)
    restored = sum(len(chapter.decided) for chapter in journal.chapters.values()) if journal else 0
    remote = Remote(watch, codec=options.codec, patience=options.patience, journal=journal, **target)
    stops = options.offline is Offline.STOP
    verifier = remote if stops else Failover(remote, keep=options.offline is Offline.KEEP)
    return Reach(remote, verifier, watch.traffic, status, restored)


def _scheme(address: str) -> str:
    """Give the name of the transport that an address begins with.

    Raises:
        OptionError: there is no such transport; the message says what brings others.
    """
    scheme, colon, _ = address.partition(":")
    known = sorted(entry.name for entry in plugins().entries if entry.kind == "transport")
    if not colon or scheme not in known or scheme == LOCAL.removesuffix(":"):
        brings = "" if "ws" in known else "; `pip install 'specdec-kit[serve]'` brings ws and wss"
        raise OptionError(
            f"expected an address that begins with a transport, of {', '.join(known)}, as ws://HOST:PORT or {LOCAL}; "
            f"got {address!r}{brings}"
        )
    return scheme
