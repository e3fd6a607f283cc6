"""A vocabulary is hashed once for a tokenizer, and again when tokens are added to it."""

import gc
import weakref
from copy import deepcopy
from unittest.mock import patch

from specdec.vocabulary import vocabulary_hash
from tests.toys import byte_tokenizer


def test_a_vocabulary_is_hashed_once() -> None:
    tokenizer = deepcopy(byte_tokenizer())
    with patch.object(tokenizer, "get_vocab", wraps=tokenizer.get_vocab) as read:
        first = [vocabulary_hash(tokenizer) for _ in range(3)]
        assert read.call_count == 1

        tokenizer.add_tokens(["abab"])
        assert vocabulary_hash(tokenizer) != first[0]
        assert read.call_count == 2
    assert set(first) == {vocabulary_hash(deepcopy(byte_tokenizer()))}


def test_a_hash_is_forgotten_with_its_tokenizer() -> None:
    tokenizer = deepcopy(byte_tokenizer())
    vocabulary_hash(tokenizer)
    gone = weakref.ref(tokenizer)
    del tokenizer
    gc.collect()
    assert gone() is None
