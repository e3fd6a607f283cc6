"""Listeners of plugins, besides the web server."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from attrs import frozen

from specdec import OptionError
from specdec.plugins import plugins
from specdec_serve.address import Address, Tls
from specdec_serve.service import Service


@frozen
class Listening:
    """A kind of listener and its address."""

    kind: str
    address: Address

    @classmethod
    def parse(cls, text: str) -> "Listening":
        """Parse `KIND://HOST:PORT`.

        Raises:
            OptionError: the text has another form, or no plugin adds this kind.
        """
        kind, colon, address = text.partition("://")
        known = sorted(entry.name for entry in plugins().entries if entry.kind == "listener")
        if not colon or kind not in known:
            names = ", ".join(known) or "none, but `pip install specdec-grpc` adds grpc"
            raise OptionError(f"expected KIND://HOST:PORT with a kind that a plugin adds, {names}; got {text!r}")
        return cls(kind, Address.parse(address))


@contextmanager
def listening(others: Sequence[Listening], service: Service, tls: Tls | None) -> Iterator[None]:
    """Run other listeners while inside.

    Raises:
        OptionError: an address cannot be listened at.
    """
    with ExitStack() as stack:
        for other in others:
            parts = {"host": service.host, "address": str(other.address), "admit": service.tenants.find, "tls": tls}
            listener = plugins().make("listener", other.kind, parts, {})
            stack.callback(listener.close)
        yield
