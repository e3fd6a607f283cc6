"""A hash of a text so far, by which client and server know that they mean the same one."""

import hashlib
from collections.abc import Sequence

from specdec.split.messages import pack_tokens


class PrefixHash:
    """A hash of tokens that grows with them."""

    def __init__(self, tokens: Sequence[int] = ()) -> None:
        self._hash = hashlib.blake2b(pack_tokens(list(tokens)), digest_size=16)

    def add(self, tokens: Sequence[int]) -> None:
        """Take in the tokens that follow."""
        self._hash.update(pack_tokens(list(tokens)))

    def after(self, tokens: Sequence[int]) -> bytes:
        """Give the hash as it would be after some more tokens."""
        longer = self._hash.copy()
        longer.update(pack_tokens(list(tokens)))
        return longer.digest()

    @property
    def digest(self) -> bytes:
        """The hash of what there is."""
        return self._hash.digest()
