"""Vocabularies, told apart by a hash."""

import hashlib
import json
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase


def vocabulary_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash a tokenizer's vocabulary, once until tokens are added to it; a large one takes tenths of a second."""
    size, known = len(tokenizer), _hashes.get(tokenizer)
    if known is None or known[0] != size:
        vocabulary = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
        known = _hashes[tokenizer] = size, hashlib.sha256(vocabulary).hexdigest()
    return known[1]


_hashes = WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, str]]()
"""By tokenizer, the size of the vocabulary that was hashed, and its hash."""
