"""Bearer tokens of clients, as all transports with tokens read and report them."""

import os

from specdec.errors import AccessDenied, OptionError

TOKEN = "SPECDEC_TOKEN"  # the name of an environment variable, not a secret
LARGEST = 2**26
"""Most bytes of a server's message: a step's features, as float32, of the largest models."""


def is_token(text: str) -> bool:
    """Say whether a header can carry a text as a token: printable ASCII characters without blanks, one or more."""
    return text != "" and text.isascii() and text.isprintable() and " " not in text


def find_token(token: str) -> str:
    """The token that is given, or else that of the environment; empty if there is neither.

    Raises:
        OptionError: it cannot be sent in a header; the message does not show it.
    """
    found = token or os.environ.get(TOKEN, "")
    if found and not is_token(found):
        raise OptionError("expected a token of printable ASCII characters without blanks, got one with others")
    return found


def access_denied(address: str, token: str, status: str) -> AccessDenied:
    """Make the error for a client that is rejected with this token, or without one."""
    given = "the one given" if token else f"none; --token-file or {TOKEN} gives one"
    return AccessDenied(f"expected a token that {address} takes, got {given} ({status})")
