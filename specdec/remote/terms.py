"""The settings of a remote target."""

from specdec.errors import OptionError
from specdec.split.codecs import CODECS

LONGEST = 10**6
"""Most seconds to wait for a step."""


def check_terms(codec: str, window: int | None, patience: float, burst: int) -> None:
    """Check the codec and window of features, the patience for a step in seconds, and the burst.

    Raises:
        OptionError: one of them is invalid.
    """
    if codec not in CODECS:
        raise OptionError(f"expected a codec of {', '.join(CODECS)}, got {codec!r}")
    if not isinstance(patience, int | float) or not 0 < patience <= LONGEST:
        raise OptionError(f"expected a patience above 0 and at most {LONGEST} seconds, got {patience!r}")
    if window is not None and (not isinstance(window, int) or window < 0):
        raise OptionError(f"expected a window of 0 or more tokens, or None for all, got {window!r}")
    if not isinstance(burst, int) or burst < 0:
        raise OptionError(f"expected a burst of 0 or more answers, got {burst!r}")
