"""What a client asks of a server besides its texts."""

from specdec.errors import OptionError
from specdec.split.codecs import CODECS

LONGEST = 10**6
"""Seconds that a step may be waited for, at most."""


def check_terms(codec: str, window: int | None, patience: float, burst: int) -> None:
    """Check how features are coded, and of how many of a prompt's tokens; how long a step may take; and a burst.

    Raises:
        OptionError: one of them means nothing.
    """
    if codec not in CODECS:
        raise OptionError(f"expected a codec of {', '.join(CODECS)}, got {codec!r}")
    if not isinstance(patience, int | float) or not 0 < patience <= LONGEST:
        raise OptionError(f"expected a patience above 0 and at most {LONGEST} seconds, got {patience!r}")
    if window is not None and (not isinstance(window, int) or window < 0):
        raise OptionError(f"expected a window of 0 or more tokens, or None for all, got {window!r}")
    if not isinstance(burst, int) or burst < 0:
        raise OptionError(f"expected a burst of 0 or more answers, got {burst!r}")


def check_token(token: str) -> str:
    """Give a bearer token, or "" for none, as one that may be sent; no message shows it.

    Raises:
        OptionError: it has blanks, line ends, or what is not ASCII.
    """
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise OptionError("expected a token of printable ASCII characters without blanks, got one with others")
    return token
