"""Other ways in than the web's, which plugins bring."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from attrs import frozen

from specdec import OptionError
from specdec.plugins import plugins
from specdec_serve.address import Address, Tls
from specdec_serve.service import Service


@frozen
class Listening:
    """A kind of listener, and where it is to listen."""

    kind: str
    address: Address

    @classmethod
    def parse(cls, text: str) -> "Listening":
        """Read `KIND://HOST:PORT`.

        Raises:
            OptionError: it is something else, or no plugin brings this kind.
        """
        kind, colon, address = text.partition("://")
        known = sorted(entry.name for entry in plugins().entries if entry.kind == "listener")
        if not colon or kind not in known:
            names = ", ".join(known) or "none, which `pip install specdec-grpc` changes"
            raise OptionError(f"expected KIND://HOST:PORT of the kinds that plugins bring, {names}; got {text!r}")
        return cls(kind, Address.parse(address))


@contextmanager
def listening(others: Sequence[Listening], service: Service, tls: Tls | None) -> Iterator[None]:
    """Listen in other ways for a while.

    Raises:
        OptionError: it is not possible to listen there.
    """
    with ExitStack() as stack:
        for other in others:
            parts = {"host": service.host, "address": str(other.address), "admit": service.tenants.find, "tls": tls}
            listener = plugins().make("listener", other.kind, parts, {})
            stack.callback(listener.close)
        yield
