"""specdec's own decoding as a contender."""

from collections.abc import Sequence
from time import perf_counter

from specdec.bench.clocked import ClockedDrafter, ClockedVerifier
from specdec.bench.contender import Clock, Contender, Trace
from specdec.bench.parameters import count
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.options import Sampling, Stop
from specdec.policies import Chain

PLAIN = "none"
"""What plain decoding is called, in every benchmark its first row."""


class Speculative(Contender):
    """A drafter with a policy; contenders may share a verifier, and a drafter."""

    def __init__(
        self,
        name: str,
        drafter: Drafter,
        verifier: Verifier,
        policy: TreePolicy | None = None,
        *,
        written: str | None = None,
        clock: Clock = perf_counter,
    ) -> None:
        """Put the parts together; `written` is how a report names the policy.

        Raises:
            VocabularyMismatch: the drafter is made for a vocabulary of another size.
        """
        shape = policy or Chain()
        self.name, self.drafter, self.clock = name, drafter, clock
        self.policy = None if name == PLAIN else written or str(shape)
        self.parameters = count(drafter, getattr(verifier, "model", None))
        self._drafter, self._verifier = ClockedDrafter(drafter, clock), ClockedVerifier(verifier, clock)
        self._decoder = Decoder(self._drafter, self._verifier, shape)

    def decode(self, prompt: Sequence[int], sampling: Sampling, max_tokens: int) -> Trace:
        tokens, lengths, accepted = list[int](), list[int](), list[int]()
        self._drafter.seconds = self._verifier.seconds = 0.0
        start = self.clock()
        for step in self._decoder.stream([list(prompt)], [sampling], Stop(max_tokens)):
            length = int(step.lengths[0])
            tokens += step.tokens[0, :length].tolist()
            lengths.append(length)
            accepted.append(min(int(step.accepted[0]), length))
        seconds = self.clock() - start
        spent = self._drafter.seconds, self._verifier.seconds
        return Trace(tuple(tokens), seconds, tuple(lengths), tuple(accepted), *spent)


def plain(verifier: Verifier, clock: Clock = perf_counter) -> Speculative:
    """Decode without drafts, what all others are compared with."""
    return Speculative(PLAIN, NoDrafter(), verifier, clock=clock)
