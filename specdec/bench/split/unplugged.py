"""A target that is out of reach once the prompts have been read."""

from collections.abc import Sequence

from specdec.context import Step
from specdec.features import Needs
from specdec.interfaces import Verifier
from specdec.options import Sampling
from specdec.remote import DraftOnly
from specdec.tree import Tree


class Unplugged(Verifier):
    """Reads the prompts with the target, then decides by `DraftOnly`, as `Failover` does when the line is cut.

    Unless it has `learnt`, the drafter gets no features of the prompts, as after a crash without a journal.
    """

    def __init__(self, target: Verifier, *, learnt: bool) -> None:
        self._alone, self._reader = DraftOnly(), target if learnt else DraftOnly()
        self.vocab_size, self.max_length, self.end_tokens = target.vocab_size, target.max_length, target.end_tokens
        self.chance = target.chance

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        return self._reader.prefill(prompts, needs, sampling)

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        return self._alone.verify(trees)

    def close(self) -> None:
        self._reader.close()
