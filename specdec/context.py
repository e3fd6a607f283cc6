"""What passes between drafter, verifier and loop. Shape letters are those of `specdec.tree`."""

from functools import cached_property

from attrs import evolve, field, frozen

from specdec.chance import Dice, Keyed, Noise
from specdec.features import Features
from specdec.options import Sampling


@frozen(eq=False)
class Step:
    """What one pass of the target decided: tokens for each sequence, none for those that are done.

    The first `accepted` of a sequence's tokens were drafted, the rest is the target's own. Features belong to the
    token before: `features[:, k]` predicted token k. `text` is filled in by `Decoder.stream`: what each sequence's
    text gained. Unverified tokens are a drafter's alone.
    """

    tokens: list[list[int]]
    accepted: list[int]
    features: Features | None = None
    verified: bool = True
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
        """How deep drafting is of use: the last token of a sequence is never drafted, but the target's own."""
        return [max(limit - len(tokens) - 1, 0) for limit, tokens in zip(self.limits, self.tokens, strict=True)]

    @cached_property
    def dice(self) -> list[Dice]:
        """The chances of each sequence in the coming step."""
        return [noise.dice(len(tokens) - 1) for noise, tokens in zip(self.noise, self.tokens, strict=True)]

    def extend(self, step: Step, done: list[bool]) -> "Context":
        """Append what a step decided; `done` says which sequences have ended."""
        tokens = [old + new for old, new in zip(self.tokens, step.tokens, strict=True)]
        return evolve(self, tokens=tokens, done=done, step=step)
