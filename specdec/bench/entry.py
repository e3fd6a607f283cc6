"""What a benchmark compares: anything that continues a prompt and takes the time, a drafter above all."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from attrs import frozen
from torch import Tensor, nn

from specdec.context import Context, Step
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.errors import OptionError
from specdec.features import Needs
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.options import Sampling, Stop
from specdec.plugins import load_policy
from specdec.target.half import HalfPrecisionLinear
from specdec.tree import Tree

Clock = Callable[[], float]
"""Gives seconds: `time.perf_counter`, or `time.thread_time` on a machine that is busy with other things."""
PLAIN = "none"
"""What plain decoding is called, in every benchmark its first row."""
DEPTH = 3
"""How far below a drafter its modules are looked for: the model of the engine that it has."""


def check_thread_clock(threads: int, device: str) -> None:
    """Check that a thread's processor time is all the time that models take.

    Raises:
        OptionError: torch has several threads, or models are not on a CPU.
    """
    if device != "cpu":
        raise OptionError(f"expected models on a CPU with --cpu, which counts the time of a thread, got {device}")
    if threads > 1:
        raise OptionError(
            f"expected one thread with --cpu, which counts the time of one, got {threads}; OMP_NUM_THREADS=1 sets that"
        )


@frozen
class Trace:
    """One decoding of one prompt. Times are seconds, the reading of the prompt included; no text is made.

    `lengths` are the tokens that each step decided, `accepted` how many of them were drafted. `draft` is the time
    inside the drafter, `verify` inside the verifier's steps.
    """

    tokens: tuple[int, ...]
    seconds: float
    lengths: tuple[int, ...]
    accepted: tuple[int, ...]
    draft: float
    verify: float


class Entry(ABC):
    """One row of a benchmark."""

    name: str
    policy: str | None = None
    """The shape of its drafts, as it is written on the command line."""
    parameters: int = 0
    """Weights that drafting needs besides the target's own."""

    def shares_noise(self, temperature: int | float) -> bool:
        """Say whether its text must be that of plain decoding with the same seed."""
        return True

    @abstractmethod
    def decode(self, prompt: Sequence[int], sampling: Sampling, max_tokens: int) -> Trace:
        """Continue a prompt, and take the time."""


class Stopwatch:
    """Adds up the seconds spent inside `with`."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.seconds, self._start = clock, 0.0, 0.0

    def __enter__(self) -> None:
        self._start = self.clock()

    def __exit__(self, *_: object) -> None:
        self.seconds += self.clock() - self._start

    @contextmanager
    def around(self, model: nn.Module | None) -> Iterator[None]:
        """Time a model's passes."""
        hooks = model and (
            model.register_forward_pre_hook(lambda *_: self.__enter__()),
            model.register_forward_hook(lambda *_: self.__exit__()),
        )
        try:
            yield
        finally:
            for hook in hooks or ():
                hook.remove()


class Speculative(Entry):
    """A drafter with a policy; entries may share a verifier, and a drafter."""

    def __init__(
        self,
        name: str,
        drafter: Drafter,
        verifier: Verifier,
        policy: TreePolicy | str | None = None,
        clock: Clock = perf_counter,
    ) -> None:
        """Put the parts together; the policy, or its spec, is the drafter's own unless given.

        Raises:
            VocabularyMismatch: the drafter is made for a vocabulary of another size.
        """
        policy = policy or drafter.policy
        self.name, self.policy = name, None if name == PLAIN else str(policy)
        self.parameters = _parameters(drafter, getattr(verifier, "model", None))
        self._drafting, self._verifying = Stopwatch(clock), Stopwatch(clock)
        self._decoder = Decoder(
            TimedDrafter(drafter, self._drafting),
            TimedVerifier(verifier, self._verifying),
            load_policy(policy) if isinstance(policy, str) else policy,
            clock=clock,
        )

    def decode(self, prompt: Sequence[int], sampling: Sampling, max_tokens: int) -> Trace:
        tokens, lengths, accepted = list[int](), list[int](), list[int]()
        whole, self._drafting.seconds, self._verifying.seconds = Stopwatch(self._drafting.clock), 0.0, 0.0
        with whole:
            for step in self._decoder.stream([list(prompt)], [sampling], Stop(max_tokens)):
                tokens[len(tokens) - step.retracted[0] :] = step.tokens[0]
                lengths.append(len(step.tokens[0]))
                accepted.append(step.accepted[0])
        seconds = whole.seconds, self._drafting.seconds, self._verifying.seconds
        return Trace(tuple(tokens), seconds[0], tuple(lengths), tuple(accepted), *seconds[1:])


def plain(verifier: Verifier, clock: Clock = perf_counter) -> Speculative:
    """Decode without drafts, what all others are compared with."""
    return Speculative(PLAIN, NoDrafter(), verifier, clock=clock)


class TimedDrafter(Drafter):
    """A drafter, timed."""

    def __init__(self, drafter: Drafter, watch: Stopwatch) -> None:
        self._drafter, self._watch = drafter, watch
        for name in Drafter.__annotations__:
            setattr(self, name, getattr(drafter, name))

    def begin(self, context: Context) -> None:
        with self._watch:
            self._drafter.begin(context)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        with self._watch:
            return self._drafter.propose(context, policy)

    def unread(self, context: Context) -> int:
        return self._drafter.unread(context)

    def cut(self, lengths: Sequence[int]) -> None:
        with self._watch:
            self._drafter.cut(lengths)

    def close(self) -> None:
        self._drafter.close()


class TimedVerifier(Verifier):
    """A verifier whose steps are timed. It has no tokenizer, so that no text is made meanwhile."""

    def __init__(self, verifier: Verifier, watch: Stopwatch) -> None:
        self._verifier, self._watch = verifier, watch
        for name in Verifier.__annotations__.keys() - {"tokenizer"}:
            setattr(self, name, getattr(verifier, name))

    def view(self) -> Verifier:
        view = self._verifier.view()
        return self if view is self._verifier else TimedVerifier(view, self._watch)

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        return self._verifier.prefill(prompts, needs, sampling)

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        with self._watch:
            return self._verifier.verify(trees)

    def settle(self) -> Step | None:
        with self._watch:
            return self._verifier.settle()

    def close(self) -> None:
        self._verifier.close()


def _parameters(drafter: object, target: nn.Module | None) -> int:
    """Count the weights of a drafter's modules, each once, without those that it shares with the target."""
    shared = set() if target is None else {id(part) for part in (*target.parameters(), *_packed([target]))}
    models = [module for module in _modules(drafter, DEPTH) if not isinstance(module, HalfPrecisionLinear)]
    own = {id(weight): weight.numel() for model in models for weight in model.parameters()}
    own |= {id(layer): layer.weights for layer in _packed(models)}
    return sum(size for key, size in own.items() if key not in shared)


def _packed(models: Iterable[nn.Module]) -> Iterator[HalfPrecisionLinear]:
    """Find the layers of models whose weights are no parameters; a layer by itself is a copy of the target's."""
    for model in models:
        yield from (layer for layer in model.modules() if isinstance(layer, HalfPrecisionLinear))


def _modules(thing: object, depth: int) -> Iterator[nn.Module]:
    if isinstance(thing, nn.Module):
        yield thing
    elif isinstance(thing, list | tuple):
        for each in thing:
            yield from _modules(each, depth)
    elif depth and not isinstance(thing, Tensor | type):
        slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
        for value in [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, slot, None) for slot in slots)]:
            yield from _modules(value, depth - 1)
