"""A datastore against looking at every place of every text."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import specdec.drafters.datastore
from specdec.drafters.datastore import Datastore
from specdec.errors import DataError, OptionError

TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=5).filter(any)


def found(texts: list[list[int]], suffix: list[int], longest: int) -> list[list[int]]:
    """What followed the last token, the last two, and so on, in ascending order."""
    lists = list[list[int]]()
    for length in range(1, min(longest, len(suffix)) + 1):
        end = suffix[-length:]
        places = [(text, place) for text in texts for place in range(length, len(text))]
        followers = sorted(text[place] for text, place in places if text[place - length : place] == end)
        if not followers:
            break
        lists.append(followers)
    return lists


@given(TEXTS, st.lists(st.integers(0, 4), max_size=6), st.integers(1, 4))
def test_it_finds_what_followed(texts: list[list[int]], suffix: list[int], longest: int) -> None:
    store = Datastore.of(texts, longest)
    assert [sorted(tokens.tolist()) for tokens in store.followers(suffix)] == found(texts, suffix, longest)


@given(TEXTS)
def test_it_knows_its_tokens(texts: list[list[int]]) -> None:
    store, tokens = Datastore.of(texts), [token for text in texts for token in text]
    assert store.vocabulary.tolist() == sorted(set(tokens))
    assert store.shares == pytest.approx([tokens.count(token) / len(tokens) for token in store.vocabulary])


@given(TEXTS, st.lists(st.integers(0, 6), min_size=1))
def test_tokens_of_others_have_no_share(texts: list[list[int]], others: list[int]) -> None:
    store = Datastore.of(texts)
    vocabulary, shares = store.with_tokens(np.array(others))
    assert vocabulary.tolist() == sorted({*store.vocabulary.tolist(), *others})
    known = dict(zip(store.vocabulary.tolist(), store.shares.tolist(), strict=True))
    assert shares.tolist() == [known.get(token, 0.0) for token in vocabulary.tolist()]


@given(TEXTS, st.lists(st.integers(0, 3), max_size=4), st.sampled_from([0, 2**16]))
def test_a_file_holds_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[int]], suffix: list[int], shift: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "store"
    store = Datastore.of([[token + shift for token in text] for text in texts])
    store.save(file)
    again = Datastore.load(file)

    suffix = [token + shift for token in suffix]
    assert again.tokens.tolist() == store.tokens.tolist()
    assert [each.tolist() for each in again.followers(suffix)] == [each.tolist() for each in store.followers(suffix)]


def test_of_many_followers_some_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specdec.drafters.datastore, "MOST", 10)
    (tokens,) = Datastore.of([[0, place % 2 + 1] for place in range(95)]).followers([0])
    assert len(tokens) == 10
    assert set(tokens.tolist()) == {1, 2}


@pytest.mark.parametrize("content", [b"", b"not a datastore", b"PK\x03\x04", b"\x93NUMPY"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a datastore in .*chats\.jsonl.*specdec\.training\.datastore"):
        Datastore.load(file)


def test_arrays_of_other_things_are_refused(tmp_path: Path) -> None:
    for name, arrays in (("a", {"tokens": np.arange(3)}), ("b", {"tokens": np.arange(3), "lengths": np.array([9])})):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(DataError, match="expected a datastore"):
            Datastore.load(tmp_path / f"{name}.npz")
    np.save(tmp_path / "c.npy", np.arange(3))
    with pytest.raises(DataError, match="expected a datastore"):
        Datastore.load(tmp_path / "c.npy")
    with pytest.raises(DataError, match="expected a datastore"):
        Datastore.load(tmp_path / "missing")


@pytest.mark.parametrize(
    ("tokens", "lengths"),
    [
        ([-5, 2], [2]),
        ([2**31, 2], [2]),
        ([1.5, 2.0], [2]),
        ([[1, 2]], [2]),
        ([1, 2], [1]),
        ([1, 2, 3], [-1, 4]),
        ([1, 2], []),
        (["1"], [1]),
    ],
)
def test_numbers_that_are_no_texts_are_refused(tmp_path: Path, tokens: list[Any], lengths: list[int]) -> None:
    np.savez(tmp_path / "store.npz", tokens=np.array(tokens), lengths=np.array(lengths, np.int64))
    with pytest.raises(DataError, match=r"expected a datastore in .*expected"):
        Datastore.load(tmp_path / "store.npz")


def test_damage_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    """Each byte of a file in turn; the archive notices those of its contents."""
    file, store = tmp_path / "store", Datastore.of([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5]])
    store.save(file)
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with suppress(DataError):
            assert Datastore.load(file).tokens.tolist() == store.tokens.tolist()


def test_nothing_to_look_up_is_refused() -> None:
    with pytest.raises(DataError, match="with tokens, got none"):
        Datastore.of([[], []])
    for longest in (0, 65):
        with pytest.raises(OptionError, match=f"of 1 to 64 tokens, got longest={longest}"):
            Datastore.of([[1]], longest=longest)
    for token in (-1, -7, 2**31, 2**70):
        with pytest.raises(DataError, match=rf"expected tokens of at least 0 and below 2\*\*31, got .*{token}"):
            Datastore.of([[1], [3, token]])
