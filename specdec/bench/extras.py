"""Packages that only some outputs need."""

from importlib.util import find_spec

from specdec.errors import OptionError

EXTRA = "bench"


def require(package: str, purpose: str) -> None:
    """Check that a package of the extra `bench` is there.

    Raises:
        OptionError: it is not; the message says what installs it.
    """
    if find_spec(package) is None:
        raise OptionError(
            f"expected {package} for {purpose}, which is not installed; `pip install 'specdec-kit[{EXTRA}]'` brings it"
        )
