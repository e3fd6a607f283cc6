"""Web pages as clients: a browser lets any page send requests to a server on its user's machine."""

from urllib.parse import urlsplit

from specdec_serve.address import Address

FOREIGN = "without tokens, web pages of this machine only are served; start the server with --token-file for others"


def is_foreign(origin: str | None) -> bool:
    """Say whether an `Origin` header is of a page that is not of this machine; None if no page sends the request."""
    if origin is None:
        return False
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        host = None
    return host is None or not Address(host, 0).is_local
