"""Retrieval against Witten and Bell's formula in fractions."""

from collections import Counter
from fractions import Fraction
from math import log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdec import Decoder, Sampling, Stop, Target, load_drafter
from specdec.drafters import Retrieval
from specdec.drafters.datastore import Datastore
from specdec.errors import VocabularyMismatch
from specdec.policies import Static
from tests.specdec.contexts import context_of
from tests.specdec.drafters.test_datastore import found
from tests.toys import tiny

STORES = st.lists(st.lists(st.integers(0, 5), max_size=12), min_size=1, max_size=4).filter(any)
TEXT = st.lists(st.integers(0, 6), min_size=1, max_size=16)


def probabilities(texts: list[list[int]], text: list[int], suffix: list[int], longest: int) -> dict[int, Fraction]:
    """Shares of all tokens of the datastore, then of what followed, there and here, ever longer matches."""
    counts = Counter(token for each in texts for token in each)
    probs = {token: Fraction(count, counts.total()) for token, count in counts.items()}
    there, here = found(texts, suffix, longest), found([text], suffix, longest)
    for length in range(longest):
        for followers in (lists[length] for lists in (there, here) if length < len(lists)):
            counts = Counter(followers)
            probs = {
                token: (counts[token] + len(counts) * probs.get(token, Fraction(0))) / (len(followers) + len(counts))
                for token in probs.keys() | counts.keys()
            }
    return probs


@given(STORES, st.lists(TEXT, min_size=1, max_size=3), st.integers(1, 4))
def test_scores_are_what_witten_and_bell_say(texts: list[list[int]], own: list[list[int]], longest: int) -> None:
    """Drafted tokens join the suffix; each sequence is looked up in itself alone."""
    drafter = Retrieval(Datastore.of(texts, longest))
    for text, tree in zip(own, drafter.propose(context_of(own), Static((9, 2))), strict=True):
        assert tree is not None
        first = probabilities(texts, text, text, longest)
        assert len(tree.children[0]) == min(len(first), 9)
        for node in range(1, len(tree)):
            path = [tree.tokens[above] for above in tree.path(node)]
            score = sum(
                log(probabilities(texts, text, text + path[:depth], longest)[token]) for depth, token in enumerate(path)
            )
            assert tree.scores[node] == pytest.approx(score, abs=1e-4)


def test_a_text_that_ended_gets_no_tree() -> None:
    drafter = Retrieval(Datastore.of([[1, 2]]))
    assert drafter.propose(context_of([[1], [2]], done=(0, 1)), Static((1,))) == [None, None]


def test_what_followed_elsewhere_is_drafted(tmp_path: Path) -> None:
    """A text that is in the datastore is accepted in full, the first time that it is said."""
    target = Target(tiny("llama"))
    said = Decoder(load_drafter("none"), target).generate([1, 2, 3], Sampling(), Stop(24)).tokens[0]
    file = tmp_path / "store"
    Datastore.of([[1, 2, 3, *said]]).save(file)

    again = Decoder(load_drafter("retrieval", file, target=target, longest=8), target)
    drafted = again.generate([1, 2, 3], Sampling(), Stop(24))

    assert drafted.tokens[0] == said
    assert drafted.metrics.steps < 24 / 3


def test_tokens_of_another_target_are_refused(tmp_path: Path) -> None:
    target = Target(tiny("llama"))
    Datastore.of([[1, target.vocab_size]]).save(tmp_path / "store")
    with pytest.raises(VocabularyMismatch, match=f"of the target's {target.vocab_size} tokens"):
        load_drafter("retrieval", tmp_path / "store", target=target)
