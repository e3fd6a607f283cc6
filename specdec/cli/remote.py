"""The options of `specdec generate` for a target on a server."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from attrs import fields, frozen
from typer import Option

from specdec.errors import OptionError

LOCAL = "local:"
"""The address of a server in a thread of this process."""
PANEL = "Remote target"


class Offline(StrEnum):
    """What happens to a text while the server is out of reach."""

    VERIFY = "verify"
    KEEP = "keep"
    STOP = "stop"


def _option(text: str, metavar: str | None = None, *names: str) -> Any:
    return Option(*names, help=text, metavar=metavar, rich_help_panel=PANEL)


WHERE = "Address of the server with the target, such as wss://HOST:PORT; local: is one in this process."
OFFLINE = "When the server is out of reach: continue alone and verify that text later, keep it unverified, or stop."
Address = Annotated[str | None, _option(WHERE, "ADDRESS", "--remote")]
TokenFile = Annotated[
    Path | None, _option("File with the bearer token for the server; default: the token in SPECDEC_TOKEN.", "FILE")
]
WhenOffline = Annotated[Offline, _option(OFFLINE)]
Patience = Annotated[float, _option("How long a step may take before the server counts as out of reach.", "SECONDS")]
JournalFile = Annotated[
    Path | None, _option("Record the text as it grows, so that the same command can continue it, even offline.", "FILE")
]
Codec = Annotated[
    str, _option("Encoding of features: float32, float16, int8, or int4, which costs acceptance.", "CODEC")
]


@frozen
class RemoteOptions:
    """Where the target is, and what happens when it is out of reach."""

    address: Address = None
    token_file: TokenFile = None
    offline: WhenOffline = Offline.VERIFY
    patience: Patience = 10.0
    journal: JournalFile = None
    codec: Codec = "float16"

    @property
    def here(self) -> bool:
        """Whether the target is in this process."""
        return self.address in (None, LOCAL)

    def check(self, *, compare: bool, local: Mapping[str, str | None]) -> None:
        """Check that the options go together; `local` has those of a target in this process, by name.

        Raises:
            OptionError: they do not.
        """
        defaults = RemoteOptions()
        given = [one.name for one in fields(RemoteOptions) if getattr(self, one.name) != getattr(defaults, one.name)]
        if self.address is None and given:
            raise OptionError(f"expected --remote with {_flag(given[0])}, got {_flag(given[0])} alone")
        if self.address == LOCAL and self.token_file is not None:
            raise OptionError(f"expected no --token-file with --remote {LOCAL}, got {str(self.token_file)!r}")
        if self.journal is not None and compare:
            raise OptionError("expected --journal without --compare, because it is for one text; got both")
        for name, value in local.items():
            if not self.here:
                raise OptionError(
                    f"expected {_flag(name)} without --remote, because the server chooses it; got {value!r}"
                )

    def token(self) -> str | None:
        """Read the bearer token, None if no file is named.

        Raises:
            OptionError: the file cannot be read, or does not have exactly one token.
        """
        from specdec.transports import is_token

        if self.token_file is None:
            return None
        try:
            text = self.token_file.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            raise OptionError(f"expected a file with a token, got {str(self.token_file)!r}: {error}") from error
        if not is_token(text):
            raise OptionError(
                f"expected one token in {str(self.token_file)!r}, of printable characters without blanks, "
                f"got {len(text.split())} words"
            )
        return Token(text)


class Token(str):
    """A bearer token, which no error message shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<token>"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
