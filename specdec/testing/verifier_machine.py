"""The state machine by which verifiers are checked. Needs hypothesis."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from specdec.interfaces import Verifier
from specdec.testing.verifier_batch import Batch

MOST_BATCHES = 3


class VerifierMachine(RuleBasedStateMachine):
    """Calls a verifier and its views in any order; each has a batch, which knows what must be decided."""

    make: Callable[[], Verifier]

    def __init__(self) -> None:
        super().__init__()
        self.verifier, self.alone = self.make(), self.make()
        self.batches = [Batch(self.verifier, self.alone)]

    @initialize(data=st.data())
    def begin(self, data: Any) -> None:
        self.batches[0].prefill(data)

    @rule(data=st.data())
    def begin_again(self, data: Any) -> None:
        self._pick(data).prefill(data)

    @precondition(lambda self: len(self.batches) < MOST_BATCHES)
    @rule(data=st.data())
    def begin_beside(self, data: Any) -> None:
        """A batch on a view ends no other, where the verifier gives views."""
        view = self.verifier.view()
        if view is not self.verifier:
            self.batches.append(Batch(view, self.alone))
            self.batches[-1].prefill(data)

    @precondition(lambda self: len(self.batches) > 1)
    @rule(data=st.data())
    def close_view(self, data: Any) -> None:
        self.batches.pop(data.draw(st.integers(1, len(self.batches) - 1))).verifier.close()

    @rule(data=st.data())
    def verify(self, data: Any) -> None:
        self._pick(data).verify(data)

    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        self._pick(data).leave(data)

    @rule(data=st.data())
    def mistake(self, data: Any) -> None:
        self._pick(data).mistake()

    def teardown(self) -> None:
        for batch in reversed(self.batches):
            batch.verifier.close()
        self.alone.close()

    def _pick(self, data: Any) -> Batch:
        return data.draw(st.sampled_from(self.batches)) if len(self.batches) > 1 else self.batches[0]
