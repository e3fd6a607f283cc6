"""A hash of a text so far, by which client and server notice if their texts differ."""

import hashlib
from collections.abc import Sequence

from specdec.split.messages import pack_tokens


class PrefixHash:
    """An incremental hash of tokens: BLAKE2b, 16 bytes."""

    def __init__(self, tokens: Sequence[int] = ()) -> None:
        self._hash = hashlib.blake2b(pack_tokens(list(tokens)), digest_size=16)

    def add(self, tokens: Sequence[int]) -> None:
        """Add the tokens that follow."""
        self._hash.update(pack_tokens(list(tokens)))

    def after(self, tokens: Sequence[int]) -> bytes:
        """The hash of the text with some more tokens, which are not added."""
        longer = self._hash.copy()
        longer.update(pack_tokens(list(tokens)))
        return longer.digest()

    @property
    def digest(self) -> bytes:
        """The hash of all tokens so far."""
        return self._hash.digest()
