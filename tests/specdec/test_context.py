"""What passes between drafter, verifier and loop."""

from hypothesis import given
from hypothesis import strategies as st

from specdec import Sampling, Step
from tests.specdec.contexts import context_of

TOKENS = st.lists(st.integers(0, 9), max_size=4)
Row = tuple[list[int], list[int], bool]


@given(st.lists(st.tuples(TOKENS.filter(bool), TOKENS, st.booleans()), min_size=1, max_size=4), st.integers(0, 5))
def test_a_step_extends_each_sequence_by_its_own_tokens(
    rows: list[tuple[list[int], list[int], bool]], room: int
) -> None:
    """The context before stays as it was; drafting is of use for as long as the target's own token fits after it."""
    sequences, new, done = (list(part) for part in zip(*rows, strict=True))
    before = context_of(sequences, room, Sampling(1.0, seed=2**64 - 1))
    after = before.extend(Step(new, [0] * len(new)), done)

    assert before.tokens == sequences
    assert after.tokens == [old + tokens for old, tokens in zip(sequences, new, strict=True)]
    assert after.room == [max(room - len(tokens), 0) for tokens in new]
    assert after.step.lengths == list(map(len, new))
    assert after.active == [number for number, ended in enumerate(done) if not ended]
    assert [dice.root for dice in after.dice] == [len(tokens) - 1 for tokens in after.tokens]
    assert [dice.seed for dice in after.dice] == [(2**64 - 1 + number) % 2**64 for number in range(len(rows))]
