"""CUDA graphs: a pass is launched as a whole, once one like it was captured."""

from typing import Any

import torch
from attrs import define, evolve, field, frozen
from torch import Tensor

from specdec.target import Engine, Plan, Reading
from specdec_cuda.errors import cannot_capture

WARM = 2
"""Passes of a kind that are made as ever before one is captured, so that whatever is tuned at first is."""


@frozen(eq=False)
class Captured:
    """A graph, the tensors that it reads, and those that it writes."""

    graph: Any
    inputs: tuple[Tensor, ...]
    reading: Reading

    def replay(self, *inputs: Tensor) -> Reading:
        """Do it again with other numbers. What it gives holds until the next replay, but for hidden states."""
        for static, given in zip(self.inputs, inputs, strict=True):
            static.copy_(given)
        self.graph.replay()
        return evolve(self.reading, hidden_states={at: one.clone() for at, one in self.reading.hidden_states.items()})


COLUMNS, NODES = 256, 8
"""Multiples to which passes are rounded up, so that there are few kinds: a text goes through many lengths."""


@define(eq=False)
class Graphs:
    """Captures the passes of an engine by their kind: slots, columns, nodes, and what is wanted of them.

    `most` kinds are kept, those that were used last; none, once the cache has moved. A graph holds the model as it was:
    weights, adapters and hooks must stay the same.
    """

    most: int = 32
    _captured: dict[object, Captured] = field(factory=dict, init=False)
    _seen: dict[object, int] = field(factory=dict, init=False)
    _moves: int = field(default=0, init=False)

    @classmethod
    def use(cls, engine: Engine) -> None:
        """Have an engine's passes captured."""
        engine.run, engine.bucket, engine.node_bucket, engine.keeps_room = cls(), COLUMNS, NODES, True

    def __call__(self, engine: Engine, plan: Plan, *inputs: Tensor) -> Reading:
        """Make a pass.

        Raises:
            UnsupportedModel: the model does what no graph can hold, as reading a value on the host.
        """
        if engine.cache.moves != self._moves:
            self._captured.clear()
            self._seen.clear()
            self._moves = engine.cache.moves
        of_any_length = evolve(plan, decided=None)
        kind = of_any_length, tuple(part.shape for part in inputs)
        if kind in self._captured:
            self._captured[kind] = captured = self._captured.pop(kind)
            return captured.replay(*inputs)
        self._seen[kind] = self._seen.get(kind, 0) + 1
        if self._seen[kind] <= WARM:
            return engine.compute(of_any_length, *inputs)
        self._captured[kind] = captured = _capture(engine, of_any_length, inputs)
        while len(self._captured) > self.most:
            oldest = next(iter(self._captured))
            del self._captured[oldest], self._seen[oldest]
        return captured.replay(*inputs)


def _capture(engine: Engine, plan: Plan, inputs: tuple[Tensor, ...]) -> Captured:
    with torch.inference_mode(False):  # whoever captures in that mode may replay outside
        static = tuple(part.clone() for part in inputs)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may allocate meanwhile
            reading = engine.compute(plan, *static)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise cannot_capture(engine.model, error) from error
    return Captured(graph, static, reading)
