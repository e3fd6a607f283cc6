"""Text ends where the stop string begins that is complete first, however it is cut into pieces."""

from hypothesis import given
from hypothesis import strategies as st
from specdec_serve.stops import StopText

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
