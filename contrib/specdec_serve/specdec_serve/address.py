"""Where a server listens, and its TLS certificate."""

import socket
import ssl
from ipaddress import ip_address
from typing import Any

from attrs import frozen

from specdec import OptionError


@frozen
class Tls:
    """PEM files: a certificate, its key, and the authority that signs clients' certificates, if they need any."""

    cert: str
    key: str
    client_ca: str | None = None

    @classmethod
    def of(cls, cert: str | None, key: str | None, client_ca: str | None) -> "Tls | None":
        """Check the files named on a command line; None if none is.

        Raises:
            OptionError: the certificate or the key is missing, or a file cannot be loaded.
        """
        if cert is None or key is None:
            if any((cert, key, client_ca)):
                raise OptionError(f"expected --tls-cert and --tls-key together, got {cert} and {key}")
            return None
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            context.load_verify_locations(client_ca or cert)
        except OSError as error:
            names = ", ".join(filter(None, (cert, key, client_ca)))
            raise OptionError(f"expected a certificate and its key in PEM, got {names}: {error}") from error
        return cls(cert, key, client_ca)

    @property
    def options(self) -> dict[str, Any]:
        """The options as uvicorn takes them."""
        options = {"ssl_certfile": self.cert, "ssl_keyfile": self.key}
        if self.client_ca is None:
            return options
        return {**options, "ssl_ca_certs": self.client_ca, "ssl_cert_reqs": ssl.CERT_REQUIRED}


@frozen
class Address:
    """A host and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse `HOST:PORT`; an IPv6 address is in brackets.

        Raises:
            OptionError: the text has another form.
        """
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):
            raise OptionError(f"expected HOST:PORT, such as 127.0.0.1:8000, got {text!r}")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def check_free(self) -> None:
        """Check, before a model is loaded, that it can be listened at.

        Raises:
            OptionError: another program listens there, or this machine has no such address.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, self.port), family=family).close()
        except OSError as error:
            raise OptionError(f"expected an address that is free, got {self}: {error.strerror}") from error

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self, *, secure: bool) -> None:
        """Check that a server listening on a network has TLS and tokens.

        Raises:
            OptionError: it is not `secure`, and other machines can reach it.
        """
        if not secure and not self.is_local:
            raise OptionError(
                f"expected --tls-cert, --tls-key and --token-file to listen at {self.host}, beyond this machine; "
                f"if a proxy has them, use --insecure"
            )
