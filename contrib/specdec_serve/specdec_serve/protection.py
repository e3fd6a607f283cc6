"""The options of a server's tokens and TLS."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from attrs import frozen
from typer import Option

from specdec_serve.address import Address, Tls

if TYPE_CHECKING:
    from specdec.remote import Tenants

PANEL = "Security"


def _option(text: str, metavar: str | None = None, *names: str) -> Any:
    return Option(*names, help=text, metavar=metavar, rich_help_panel=PANEL)


TokenFile = Annotated[str | None, _option("TOML: a table for each tenant, with token and optionally expires.", "FILE")]
Certificate = Annotated[str | None, _option("TLS: the certificate chain, PEM.", "FILE", "--tls-cert")]
Key = Annotated[str | None, _option("TLS: the certificate's private key, PEM.", "FILE", "--tls-key")]
ClientCa = Annotated[
    str | None, _option("TLS: require clients to have a certificate of this authority.", "FILE", "--tls-client-ca")
]
Insecure = Annotated[
    bool, _option("Allow other machines to connect without TLS or without tokens.", None, "--insecure")
]


@frozen
class Protection:
    """Tokens and TLS, which `insecure` makes optional."""

    token_file: TokenFile = None
    cert: Certificate = None
    key: Key = None
    client_ca: ClientCa = None
    insecure: Insecure = False

    def read(self, addresses: Iterable[Address]) -> "tuple[Tenants, Tls | None]":
        """Read the files, and check that addresses on a network have TLS and tokens.

        Raises:
            OptionError: one does not, or a file is invalid.
        """
        from specdec.remote import Tenants

        tls = Tls.of(self.cert, self.key, self.client_ca)
        tenants = Tenants() if self.token_file is None else Tenants.read(self.token_file)
        for address in addresses:
            address.check(secure=self.insecure or bool(tls and tenants.tickets))
        return tenants, tls
