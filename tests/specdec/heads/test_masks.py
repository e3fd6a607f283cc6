from hypothesis import given
from hypothesis import strategies as st

from specdec.heads import causal


@given(size=st.integers(0, 12), window=st.none() | st.integers(1, 15))
def test_a_token_sees_itself_and_those_before_within_the_window(size: int, window: int | None) -> None:
    mask = causal(size, window)
    for query in range(size):
        for key in range(size):
            assert mask[query, key] == (0 <= query - key < (window or size))
