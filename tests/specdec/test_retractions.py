"""Text that is taken back: by the loop, and as characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdec import Context, Decoder, Drafter, Needs, Sampling, Step, Stop, Tree, TreePolicy, Verifier
from specdec.metrics import Metrics
from specdec.retractable import RetractableText
from specdec.text import TextStream
from tests.specdec.tokenizers_of_all_kinds import MAKERS, tokenizer_of
from tests.toys import byte_tokenizer


@pytest.mark.parametrize("kind", MAKERS)
@given(data=st.data())
def test_what_is_shown_is_the_text_of_the_tokens_in_the_end(kind: str, data: st.DataObject) -> None:
    """However they come, unverified or not, and however many of the unverified are taken back."""
    tokenizer = tokenizer_of(kind)
    ids = st.integers(0, len(tokenizer) - 1)
    prompt = data.draw(st.lists(ids, max_size=3))
    text, tokens, unverified, shown = RetractableText(tokenizer, prompt), list[int](), 0, ""
    for last in [*[False] * data.draw(st.integers(1, 6)), True]:
        gone = data.draw(st.integers(0, unverified))
        new = data.draw(st.lists(ids, min_size=1, max_size=4))
        verified = last or data.draw(st.booleans())
        tokens[len(tokens) - gone :] = new
        unverified = 0 if verified else unverified - gone + len(new)
        back, piece = text.add(new, last, verified=verified, retracted=gone)
        assert back <= len(shown)
        shown = shown[: len(shown) - back] + piece

    assert shown == TextStream(tokenizer, prompt).add(tokens, last=True)


class Absent(Verifier):
    """Says 1, 2, 3, ..., but is away from its second step to its fourth; then takes back what it did not say."""

    vocab_size = 50
    tokenizer = byte_tokenizer()

    def __init__(self) -> None:
        self.length, self.steps, self.away = 0, 0, 0

    def prefill(self, prompts: object, needs: Needs, sampling: object) -> Step:
        self.length = 1
        return Step([[]], [0])

    def verify(self, trees: object) -> Step:
        self.steps += 1
        if 2 <= self.steps <= 4:
            self.away += 2
            return Step([[self.length + self.away - 2, 49]], [2], verified=False)
        return self._decide(4 if self.away else 1)

    def settle(self) -> Step | None:
        return self._decide(self.away + 1) if self.away else None

    def _decide(self, count: int) -> Step:
        start, self.length = self.length, self.length + count
        away, self.away = self.away, 0
        return Step([[*range(start, self.length)]], [count - 1], starts=[start] if away else None)


class Listening(Drafter):
    def __init__(self) -> None:
        self.cuts, self.lengths = list[int](), list[int]()

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        self.lengths.append(len(context.tokens[0]))
        return [Tree.root(tokens[-1]) for tokens in context.tokens]

    def cut(self, lengths: list[int]) -> None:
        self.cuts += lengths


def test_the_loop_takes_back_what_the_target_did_not_say() -> None:
    drafter = Listening()
    decoder = Decoder(drafter, Absent())
    steps = list(decoder.stream([[7]], Sampling(), Stop(max_tokens=9, tokens=())))

    assert [step.verified for step in steps] == [True, False, False, False, True, True, True, True, True]
    assert [step.retracted[0] for step in steps] == [0, 0, 0, 0, 6, 0, 0, 0, 0]
    assert drafter.cuts == [3]  # the prompt's token, the first step's, and one that both said
    assert drafter.lengths == [1, 2, 4, 6, 8, 6, 7, 8, 9]
    metrics: Metrics = decoder.metrics
    assert (metrics.summary().steps, metrics.summary().tokens) == (5, 5)

    found = Decoder(Listening(), Absent()).generate([[7]], Sampling(), Stop(max_tokens=9, tokens=()))
    assert found.tokens == ((1, 2, 3, 4, 5, 6, 7, 8, 9),)
    assert found.verified


def test_an_end_that_is_not_verified_may_be_none() -> None:
    """The text ends while the target is away: it is asked, and the text continues."""
    found = Decoder(Listening(), Absent()).generate([[7]], Sampling(), Stop(max_tokens=5, tokens=()))

    assert found.tokens == ((1, 2, 3, 4, 5),)
    assert found.verified

    found = Decoder(Listening(), Absent()).generate([[7]], Sampling(), Stop(max_tokens=7, tokens=(49,)))
    assert found.tokens == ((1, 2, 3, 4, 5, 6, 7),)
