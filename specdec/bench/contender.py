"""What a benchmark compares: anything that goes on from tokens and says how it went."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from attrs import frozen

from specdec.options import Sampling

Clock = Callable[[], float]
"""Gives seconds: `time.perf_counter`, or `time.thread_time` on a machine that is busy with other things."""


@frozen
class Trace:
    """One decoding of one prompt. Times are seconds, the reading of the prompt included; nothing is made text of.

    `lengths` are the tokens that each step decided, `accepted` how many of them were drafted. `draft` is the time
    inside the drafter, `verify` inside the verifier's steps.
    """

    tokens: tuple[int, ...]
    seconds: float
    lengths: tuple[int, ...]
    accepted: tuple[int, ...]
    draft: float
    verify: float


class Contender(ABC):
    """One row of a benchmark."""

    name: str
    policy: str | None = None
    """The shape of its drafts, as it is written on the command line."""
    parameters: int = 0
    """Weights that drafting needs beside the target's own."""

    def shares_noise(self, temperature: int | float) -> bool:
        """Say whether its text must be that of plain decoding with the same seed."""
        return True

    @abstractmethod
    def decode(self, prompt: Sequence[int], sampling: Sampling, max_tokens: int) -> Trace:
        """Go on from a prompt, and take the time."""
