"""Files of certificates and keys."""

from pathlib import Path

from specdec import OptionError


def read_pem(path: str | Path, what: str) -> bytes:
    """Read a PEM file.

    Raises:
        OptionError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OptionError(f"expected a PEM file of {what}, got {path}: {error}") from error
