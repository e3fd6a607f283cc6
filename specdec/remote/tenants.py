"""Authorisation by bearer token."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from hmac import compare_digest
from pathlib import Path
from typing import Any

from attrs import frozen

from specdec.errors import OptionError
from specdec.transports import is_token

Admit = Callable[[str | None], str | None]
"""Finds the tenant of an `Authorization` header, `Bearer TOKEN` or None; None if it is not authorised."""
SHORTEST = 16
"""Fewest characters of a token: shorter ones could be guessed."""
EXPECTED = "expected tables such as [alice], each with a token and perhaps a time, as expires = 2027-01-31, got"


@frozen
class Ticket:
    """A tenant's token, and when it expires."""

    tenant: str
    token: str
    expires: datetime | None = None


@frozen
class Tenants:
    """All authorised tenants; without tickets every client is, as the tenant `""`."""

    tickets: tuple[Ticket, ...] = ()

    @classmethod
    def read(cls, path: str | Path) -> "Tenants":
        """Read a TOML file: for each tenant a table with its `token` and optionally `expires`, a date or time (UTC).

        Raises:
            OptionError: it cannot be read, has other keys, a token that is too short, or one token twice.
        """
        try:
            tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(
                f"expected a TOML file of tokens at {path}, got {type(error).__name__}: {error}"
            ) from error
        tickets = tuple(_ticket(tenant, table, path) for tenant, table in tables.items())
        if not tickets:
            raise OptionError(f"{EXPECTED} none in {path}")
        if len({ticket.token for ticket in tickets}) < len(tickets):
            raise OptionError(f"expected a token of its own for each tenant of {path}, got one twice")
        return cls(tickets)

    @classmethod
    def of(cls, tokens: Mapping[str, str]) -> "Tenants":
        """Authorise tenants by token, without expiry: `{token: tenant}`."""
        return cls(tuple(Ticket(tenant, token) for token, tenant in tokens.items()))

    def find(self, authorization: str | None) -> str | None:
        """Find the tenant of an `Authorization` header; None if there is none.

        All tokens are compared, each in constant time.
        """
        if not self.tickets:
            return ""
        scheme, _, given = (authorization or "").partition(" ")
        return _match(self.tickets, given.strip()) if scheme.lower() == "bearer" else None


def _match(tickets: Iterable[Ticket], given: str) -> str | None:
    now = datetime.now(UTC)
    found = [ticket for ticket in tickets if compare_digest(ticket.token.encode(), given.encode())]
    good = [ticket.tenant for ticket in found if ticket.expires is None or now < ticket.expires]
    return good[0] if good else None


def _ticket(tenant: str, table: Any, path: str | Path) -> Ticket:
    if not isinstance(table, dict) or not {"token"} <= table.keys() <= {"token", "expires"}:
        raise OptionError(f"{EXPECTED} {sorted(table) if isinstance(table, dict) else table!r} as {tenant} in {path}")
    token, expires = table["token"], table.get("expires")
    if not isinstance(token, str) or len(token) < SHORTEST or not is_token(token):
        raise OptionError(
            f"expected a token of {SHORTEST} or more printable ASCII characters without blanks for {tenant} in {path}"
        )
    if isinstance(expires, date) and not isinstance(expires, datetime):
        expires = datetime.combine(expires, time())
    if expires is not None and not isinstance(expires, datetime):
        raise OptionError(f"expected a date or a time as expires of {tenant} in {path}, got {expires!r}")
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    return Ticket(tenant, token, expires)
