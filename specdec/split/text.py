"""A text of which the target is elsewhere, as its client knows it."""

from attrs import define, field, frozen
from msgspec.structs import replace

from specdec.errors import ProtocolError, SpecdecError
from specdec.features import Features
from specdec.split.codecs import decode_features
from specdec.split.messages import Array, Open, Verified, Verify, pack_tokens, unpack_tokens
from specdec.split.prefix_hash import PrefixHash
from specdec.split.trees import pack_tree
from specdec.tree import Tree


@frozen(eq=False)
class Part:
    """Features of some tokens from `start` on, as they are and as they came."""

    start: int
    features: Features
    arrays: dict[str, Array]


@define(eq=False)
class RemoteText:
    """The decided tokens, which are the client's to keep, what was asked of the server, and what it answered.

    `known` has bit n where features of token n came, or are not wanted.
    """

    opening: Open
    tokens: list[int]
    known: int = 0
    opened: bool = False
    """Whether the server has it, by the line that there is now."""
    burst: int = 0
    """How many answers the server may give after the one that was asked for."""
    asked: Verify | None = None
    answered: list[int] = field(factory=list)
    """What the server decided, and nobody has taken yet."""
    parts: list[Part] = field(factory=list)
    """Features that came, and that nobody has taken yet."""
    retry: float | None = None
    """When to ask again, after having been turned away."""
    error: SpecdecError | None = None
    _hash: PrefixHash = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._hash = PrefixHash(self.tokens)

    @property
    def sid(self) -> bytes:
        """Its id."""
        return self.opening.sid

    @property
    def epoch(self) -> int:
        """How often it was opened."""
        return self.opening.epoch

    def open(self) -> Open:
        """Say what opens it, or opens it again: all that the server need know."""
        tokens = self.tokens + self.answered
        unknown = ~self.known & ((1 << len(tokens) - 1) - 1)
        window = len(tokens) - 1 - ((unknown & -unknown).bit_length() - 1) if unknown else 0
        self.opening = replace(self.opening, epoch=self.epoch + 1, tokens=pack_tokens(tokens), window=window)
        self.opened, self.retry = False, None
        return self.opening

    def ask(self, tree: Tree, deadline: float) -> None:
        """Have this tree verified, within so many seconds."""
        tokens, parents = pack_tree(tree)
        about, wait = (self.sid, self.epoch, len(self.tokens), self._hash.digest), round(1000 * deadline)
        self.asked = Verify(*about, tokens, parents, wait, self.burst)
        self.error = self.retry = None

    @property
    def base(self) -> int:
        """How many tokens are decided."""
        return len(self.tokens) + len(self.answered)

    def take_answer(self, message: Verified) -> bool:
        """Take in an answer; say whether the server means the same text.

        Raises:
            ProtocolError: its features are none.
        """
        tokens = unpack_tokens(message.tokens)
        if not tokens or message.prefix != self._hash.after(self.answered + tokens):
            return False
        self._learn(message.features, self.base + len(tokens))
        self.answered, self.asked = self.answered + tokens, None
        return True

    def learn(self, start: int, arrays: dict[str, Array]) -> None:
        """Take in features of tokens from `start` on.

        Raises:
            ProtocolError: they are none, or of tokens that the text does not have.
        """
        self._learn(arrays, len(self.tokens), start)

    def _learn(self, arrays: dict[str, Array], length: int, start: int | None = None) -> None:
        """Take in features of tokens from `start` on, else of the last but one of so many."""
        features = decode_features(arrays, self.opening.codec)
        if features is None:
            return
        start = length - 1 - features.count if start is None else start
        if not 0 <= start < start + features.count < length:
            raise ProtocolError(f"expected features of some of {length} tokens, got {features.count} at {start}")
        self.parts.append(Part(start, features, arrays))
        self.known |= ((1 << features.count) - 1) << start

    def take(self) -> list[int]:
        """Append what was answered, and give it."""
        tokens, self.answered = self.answered, []
        self.append(tokens)
        return tokens

    def append(self, tokens: list[int]) -> None:
        """Append decided tokens."""
        self.tokens += tokens
        self._hash.add(tokens)
