"""What passes between drafter, verifier and loop. Shape letters are those of `specdec.tree`."""

from functools import cached_property

from attrs import evolve, field, frozen

from specdec.chance import Dice, Keyed, Noise
from specdec.options import Sampling
from specdec.pending import FeaturesAt


@frozen(eq=False)
class Step:
    """What one pass of the target decided: tokens for each sequence, none for those that are done.

    The first `accepted` of a sequence's tokens were drafted, the rest is the target's own. The features
    at one position predicted the token at the next, so the last token has none yet.

    Unverified tokens are a drafter's alone, and may be taken back: `starts`, if given, are the lengths that sequences
    are cut to before their tokens are appended, which may begin with what was there.

    `Decoder.stream` fills in the rest: how many tokens each sequence lost, how many characters its text lost, and what
    the text then gained.
    """

    tokens: list[list[int]]
    accepted: list[int]
    features: tuple[FeaturesAt, ...] = ()
    verified: bool = True
    starts: list[int] | None = None
    retracted: tuple[int, ...] = ()
    retracted_text: tuple[int, ...] = ()
    text: tuple[str, ...] | None = None

    @property
    def lengths(self) -> list[int]:
        """How many tokens each sequence gained."""
        return list(map(len, self.tokens))


@frozen(eq=False, slots=False)
class Context:
    """The sequences of a batch as decided so far.

    `limits` are the lengths that they may reach. `step` is the last step, the reading of the prompt included: its
    features are what is new since the drafter last saw the sequences. `vocab_size` is the target's, if it is known.
    """

    tokens: list[list[int]]
    limits: list[int]
    done: list[bool]
    sampling: tuple[Sampling, ...]
    step: Step
    noise: tuple[Noise, ...] = field(repr=False)

    @noise.default
    def _(self) -> tuple[Noise, ...]:
        return tuple(Noise(Keyed(), options.seed) for options in self.sampling)

    vocab_size: int | None = None

    @cached_property
    def active(self) -> list[int]:
        """The numbers of the sequences that are not done."""
        return [number for number, done in enumerate(self.done) if not done]

    @cached_property
    def room(self) -> list[int]:
        """How deep drafting is of use: the last token is the target's own, if it is within reach."""
        own, pairs = int(self.step.verified), zip(self.limits, self.tokens, strict=True)
        return [max(limit - len(tokens) - own, 0) for limit, tokens in pairs]

    @cached_property
    def dice(self) -> list[Dice]:
        """The chances of each sequence in the coming step."""
        return [noise.dice(len(tokens) - 1) for noise, tokens in zip(self.noise, self.tokens, strict=True)]

    @property
    def features(self) -> list[FeaturesAt]:
        """All that is new of what the target computed, for drafters to learn from; each says of which tokens it is."""
        ends = [len(tokens) - 1 for tokens in self.tokens]  # a text's end may have cut off some
        parts = (part.before(ends) for part in self.step.features)
        return [part for part in parts if part.total]

    def extend(self, step: Step, done: list[bool]) -> "Context":
        """Append what a step decided, in place of what it takes back; `done` says which sequences have ended."""
        rows = zip(self.tokens, self.starts(step), step.tokens, strict=True)
        return evolve(self, tokens=[old[:start] + new for old, start, new in rows], done=done, step=step)

    def starts(self, step: Step) -> list[int]:
        """Give the length of each sequence before a step's tokens, at most what it is now."""
        lengths = [len(tokens) for tokens in self.tokens]
        return lengths if step.starts is None else list(map(min, lengths, step.starts))
