"""Text ends where the stop string begins that is complete first, however it is cut into pieces."""

from contextlib import nullcontext
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specdec_serve import generation
from specdec_serve.requests import Job
from specdec_serve.stops import StopText

from specdec import Drafter, Sampling, Step, Stop
from specdec.drafters import NoDrafter

LETTERS = st.text("ab", max_size=12)


@given(st.lists(LETTERS, max_size=8), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_text_is_what_comes_before(pieces: list[str], strings: list[str]) -> None:
    stops, shown = StopText(strings), ""
    whole = "".join(pieces)
    ends = [(whole.find(string) + len(string), whole.find(string)) for string in strings if string in whole]
    expected = whole[: min(ends)[1]] if ends else whole

    for number, piece in enumerate(pieces):
        shown += stops.add(piece, last=number == len(pieces) - 1)
        assert expected.startswith(shown)

    assert shown == expected
    assert stops.stopped == bool(ends and pieces)


def test_an_answer_ends_once_though_the_decoder_finds_no_stop_string(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tokens may have it in their text alone; the last answer's end ends the job."""
    texts = [("a.", "b"), ("c", "d"), ("e", "f."), ("g", "h")]
    steps = (Step([[3], [4]], [0, 0], text=text) for text in texts)
    decoder = SimpleNamespace(stream=lambda *_: steps)
    monkeypatch.setattr(generation, "Remote", lambda *_, **__: SimpleNamespace(max_length=None, end_tokens=(2,)))
    monkeypatch.setattr(generation, "Decoder", lambda *_: nullcontext(decoder))
    drafters, nothing = SimpleQueue[Drafter](), Any
    drafters.put(NoDrafter())
    drafting = generation.Drafting(nothing, SimpleNamespace(tokenizer=None), drafters, nothing)  # type: ignore[arg-type]

    pieces = list(drafting.generate(Job([[1], [1]], (Sampling(),) * 2, Stop(9, strings=["."])), "tenant"))

    shown = [(piece.number, piece.text, piece.finish) for piece in pieces]
    assert shown == [(0, "a", "stop"), (1, "b", None), (1, "d", None), (1, "f", "stop")]
