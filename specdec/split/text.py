"""A text whose target is on a server, as its client knows it."""

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
    """Features from token `start` on, decoded and as received."""

    start: int
    features: Features
    arrays: dict[str, Array]


@define(eq=False)
class RemoteText:
    """The decided tokens, which the client keeps, with the request to the server and its answers.

    Bit n of `known` is set if the features of token n were received, or are not wanted.
    """

    opening: Open
    tokens: list[int]
    known: int = 0
    opened: bool = False
    """Whether the server has confirmed the session on the current line."""
    burst: int = 0
    """Answers that the server may give beyond the one asked for."""
    asked: Verify | None = None
    answered: list[int] = field(factory=list)
    """Decided tokens that were not yet taken by `take`."""
    parts: list[Part] = field(factory=list)
    """Received features that were not yet taken."""
    retry: float | None = None
    """When to ask again after being turned away, on the client's clock."""
    error: SpecdecError | None = None
    _hash: PrefixHash = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._hash = PrefixHash(self.tokens)

    @property
    def sid(self) -> bytes:
        """The session's id."""
        return self.opening.sid

    @property
    def epoch(self) -> int:
        """How often the session was opened."""
        return self.opening.epoch

    def open(self) -> Open:
        """Make the next `Open`: all that the server needs to open the session, or to open it again."""
        tokens = self.tokens + self.answered
        unknown = ~self.known & ((1 << len(tokens) - 1) - 1)
        window = len(tokens) - 1 - ((unknown & -unknown).bit_length() - 1) if unknown else 0
        self.opening = replace(self.opening, epoch=self.epoch + 1, tokens=pack_tokens(tokens), window=window)
        self.opened, self.retry = False, None
        return self.opening

    def ask(self, tree: Tree, deadline: float) -> None:
        """Have this tree verified, within `deadline` seconds."""
        tokens, parents = pack_tree(tree)
        about, wait = (self.sid, self.epoch, len(self.tokens), self._hash.digest), round(1000 * deadline)
        self.asked = Verify(*about, tokens, parents, wait, self.burst)
        self.error = self.retry = None

    @property
    def base(self) -> int:
        """The number of decided tokens, taken or not."""
        return len(self.tokens) + len(self.answered)

    def take_answer(self, message: Verified) -> bool:
        """Take in an answer; say whether the server's text is the same.

        Raises:
            ProtocolError: its features are invalid.
        """
        tokens = unpack_tokens(message.tokens)
        if not tokens or message.prefix != self._hash.after(self.answered + tokens):
            return False
        self._learn(message.features, self.base + len(tokens))
        self.answered, self.asked = self.answered + tokens, None
        return True

    def learn(self, start: int, arrays: dict[str, Array]) -> None:
        """Take in features from token `start` on.

        Raises:
            ProtocolError: they are invalid, or of tokens that the text does not have.
        """
        self._learn(arrays, self.base, start)

    def _learn(self, arrays: dict[str, Array], length: int, start: int | None = None) -> None:
        """Take in features from token `start` on, by default up to the last but one of `length` tokens."""
        features = decode_features(arrays, self.opening.codec)
        if features is None:
            return
        start = length - 1 - features.count if start is None else start
        if not 0 <= start < start + features.count < length:
            raise ProtocolError(f"expected features of some of {length} tokens, got {features.count} at {start}")
        self.parts.append(Part(start, features, arrays))
        self.known |= ((1 << features.count) - 1) << start

    def take(self) -> list[int]:
        """Append the answered tokens to the text, and return them."""
        tokens, self.answered = self.answered, []
        self.append(tokens)
        return tokens

    def append(self, tokens: list[int]) -> None:
        """Append decided tokens."""
        self.tokens += tokens
        self._hash.add(tokens)
