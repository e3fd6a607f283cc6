"""Whoever has no good token is nobody's tenant."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from specdec import OptionError
from specdec.cli.remote import RemoteOptions
from specdec.remote import Tenants
from specdec.remote.tenants import Ticket
from specdec.transports import find_token

LONG = "a-long-token-of-someone"
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("expires", [None, datetime.now(UTC) + HOUR])
def test_a_good_token_says_who_it_is(expires: datetime | None) -> None:
    tenants = Tenants((Ticket("one", LONG, expires), Ticket("two", f"{LONG}-else")))

    assert tenants.find(f"Bearer {LONG}") == "one"
    assert tenants.find(f"bearer  {LONG}-else ") == "two"


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", LONG, f"Basic {LONG}", f"Bearer {LONG}x", "Bearer \xe9"]
)
def test_any_other_does_not(given: str | None) -> None:
    assert Tenants((Ticket("one", LONG),)).find(given) is None


def test_a_token_expires() -> None:
    assert Tenants((Ticket("one", LONG, datetime.now(UTC) - HOUR),)).find(f"Bearer {LONG}") is None


def test_without_tokens_anyone_may_come() -> None:
    assert Tenants().find(None) == ""


def test_a_file_has_a_table_for_each(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(
        f'[one]\ntoken = "{LONG}-1"\nexpires = 2100-01-02\n[two]\ntoken = "{LONG}-2"\n'
        f'[three]\ntoken = "{LONG}-3"\nexpires = 2100-01-02T03:04:05+01:00'
    )

    assert Tenants.read(file).tickets == (
        Ticket("one", f"{LONG}-1", datetime(2100, 1, 2, tzinfo=UTC)),
        Ticket("two", f"{LONG}-2"),
        Ticket("three", f"{LONG}-3", datetime(2100, 1, 2, 2, 4, 5, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[one",
        "one = 3",
        "[one]",
        "[one]\ntoken = 3",
        '[one]\ntoken = "short"',
        f'[one]\ntoken = "{LONG} blank"',
        f'[one]\ntoken = "{LONG}"\nexpires = "soon"',
        f'[one]\ntoken = "{LONG}"\nsecret = 1',
        f'[one]\ntoken = "{LONG}"\n[two]\ntoken = "{LONG}"',
    ],
)
def test_any_other_file_is_refused_without_a_word_of_its_tokens(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text)

    with pytest.raises(OptionError) as caught:
        Tenants.read(file)
    assert LONG not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "good"),
    [(LONG, True), *[(f"{LONG}{strange}{LONG}", False) for strange in (" ", "\t", "\x01", "\xe9", "\u2003")]],
)
def test_a_server_takes_the_tokens_that_a_client_can_send(tmp_path: Path, token: str, good: bool) -> None:
    tenants, own = tmp_path / "tokens.toml", tmp_path / "token"
    tenants.write_text(f"[one]\ntoken = {json.dumps(token)}")
    own.write_text(token, encoding="utf-8")
    for take in (
        lambda: Tenants.read(tenants).tickets[0].token,
        lambda: find_token(token),
        RemoteOptions("ws://host", own).token,
    ):
        if good:
            assert take() == token
        else:
            with pytest.raises(OptionError, match=r"expected (a|one|a file with a) token") as caught:
                take()
            assert LONG not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="TOML file of tokens"):
        Tenants.read(tmp_path / "none.toml")
