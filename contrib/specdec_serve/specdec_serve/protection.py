"""Who may come to a server, as a command line describes it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from attrs import frozen
from typer import Option

from specdec_serve.address import Address, Tls

if TYPE_CHECKING:
    from specdec.remote import Tenants

PANEL = "Who may come"


def _option(text: str, metavar: str | None = None, *names: str) -> Any:
    return Option(*names, help=text, metavar=metavar, rich_help_panel=PANEL)


TokenFile = Annotated[str | None, _option("TOML: a table for each tenant, with token and perhaps expires.", "FILE")]
Certificate = Annotated[str | None, _option("TLS: the certificate, with its chain.", "FILE", "--tls-cert")]
Key = Annotated[str | None, _option("TLS: the certificate's key.", "FILE", "--tls-key")]
ClientCa = Annotated[
    str | None, _option("TLS: clients need a certificate of this authority.", "FILE", "--tls-client-ca")
]
Insecure = Annotated[bool, _option("Listen beyond this machine without TLS or without tokens.", None, "--insecure")]


@frozen
class Protection:
    """Tokens and TLS; `insecure` does without."""

    token_file: TokenFile = None
    cert: Certificate = None
    key: Key = None
    client_ca: ClientCa = None
    insecure: Insecure = False

    def read(self, addresses: Iterable[Address]) -> "tuple[Tenants, Tls | None]":
        """Read the files, and check that nobody listens on a network without protection.

        Raises:
            OptionError: somebody would, or a file is not what it is to be.
        """
        from specdec.remote import Tenants

        tls = Tls.of(self.cert, self.key, self.client_ca)
        tenants = Tenants() if self.token_file is None else Tenants.read(self.token_file)
        for address in addresses:
            address.check(secure=self.insecure or bool(tls and tenants.tickets))
        return tenants, tls
