"""The loop: propose, verify, advance."""

from collections.abc import Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import Any

from attrs import evolve, frozen
from transformers import PreTrainedTokenizerBase

from specdec.chance import Chance, Keyed, Noise
from specdec.claims import Claim
from specdec.context import Context, Step
from specdec.ends import Ends
from specdec.errors import OptionError, PromptError, VocabularyMismatch
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.metrics import Metrics, Summary
from specdec.observers import observe
from specdec.options import Sampling, Stop
from specdec.plugins import load_policy, plugins
from specdec.text import Prompt, TextStream, batch, encode

__all__ = ["Decoder", "Generation"]


@frozen
class Generation:
    """What was generated for each prompt: new tokens, the end token included, and their text."""

    tokens: tuple[tuple[int, ...], ...]
    text: tuple[str, ...] | None
    metrics: Summary


class Decoder:
    """Generates with a drafter and a verifier what the verifier's target alone would have generated."""

    def __init__(
        self,
        drafter: Drafter,
        verifier: Verifier,
        policy: TreePolicy | None = None,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        chance: Chance | None = None,
        observers: Sequence[object] = (),
    ) -> None:
        """Put the parts together; policy and tokenizer are the drafter's and the verifier's own unless given.

        Each observer is told of this decoder's steps, by those methods `on_begin`, `on_step` and `on_end` it has.

        Raises:
            VocabularyMismatch: the drafter is made for a vocabulary of another size.
            OptionError: an observer has none of these methods.
        """
        if drafter.vocab_size not in (None, verifier.vocab_size):
            raise VocabularyMismatch(
                f"expected a drafter for the target's vocabulary of {verifier.vocab_size} tokens, "
                f"got {type(drafter).__name__} with {drafter.vocab_size}"
            )
        self.drafter, self.verifier, self.policy = drafter, verifier, policy or load_policy(drafter.policy)
        self.tokenizer = tokenizer or verifier.tokenizer
        self.metrics = Metrics()
        self._chance, self._observers = chance or Keyed(), observe(observers)

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling: Sampling | Sequence[Sampling] = Sampling(),  # noqa: B008  (frozen)
        stop: Stop = Stop(),  # noqa: B008
    ) -> Generation:
        """Decode to the end; what `stream` gives, in one piece."""
        run, metrics = self._begin(prompts, sampling, stop)
        steps = list(run)
        tokens = [tuple(chain.from_iterable(parts)) for parts in zip(*(step.tokens for step in steps), strict=True)]
        text = None
        if self.tokenizer is not None:
            text = tuple("".join(parts) for parts in zip(*(step.text or () for step in steps), strict=True))
        return Generation(tuple(tokens), text, metrics.summary())

    def stream(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling: Sampling | Sequence[Sampling] = Sampling(),  # noqa: B008
        stop: Stop = Stop(),  # noqa: B008
    ) -> Iterator[Step]:
        """Read the prompts now, then decode as the steps are asked for.

        One `Sampling` for several prompts is spread over them as `Sampling.spread` says. Prompts are
        text, messages, or token ids.

        Raises:
            PromptError: a prompt is empty, outside the vocabulary, or too long for what is to be generated.
            OptionError: not as many samplings as prompts, or a stop string without a tokenizer.
        """
        return self._begin(prompts, sampling, stop)[0]

    def close(self) -> None:
        """Close drafter and verifier."""
        self.drafter.close()
        self.verifier.close()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(
        self, prompts: Prompt | Sequence[Prompt], sampling: Sampling | Sequence[Sampling], stop: Stop
    ) -> tuple[Iterator[Step], Metrics]:
        """Read the prompts; give the steps that follow, and what counts them."""
        encoded = [encode(prompt, self.tokenizer) for prompt in batch(prompts)]
        options = sampling.spread(len(encoded)) if isinstance(sampling, Sampling) else tuple(sampling)
        if len(options) != len(encoded):
            raise OptionError(f"expected a sampling for each of {len(encoded)} prompts, got {len(options)}")
        limits = _limits(encoded, stop, self.verifier.max_length)
        ends = Ends(stop, self.verifier.end_tokens, self.tokenizer)
        verifier, self.metrics = self.verifier.view(), Metrics()
        claim = Claim.of(self.drafter, verifier)
        noise = tuple(Noise(self._chance, one.seed) for one in options)
        step = verifier.prefill(encoded, self.drafter.needs, options)
        context = Context(encoded, limits, [False] * len(encoded), options, step, noise)
        self.drafter.begin(context)
        return self._run(verifier, claim, context, ends, self.metrics), self.metrics

    def _run(self, verifier: Verifier, claim: Claim, context: Context, ends: Ends, metrics: Metrics) -> Iterator[Step]:
        texts = [] if self.tokenizer is None else [TextStream(self.tokenizer) for _ in context.sampling]
        self._tell("on_begin", context=context)
        while not all(context.done):
            claim.check()
            trees = self.drafter.propose(context, self.policy)
            step, done = ends.cut(context, verifier.verify(trees))
            context = context.extend(step, done)
            metrics.observe(trees, step)
            self._tell("on_step", context=context, trees=trees, step=step)
            yield evolve(step, text=_texts(texts, step, done))
        self._tell("on_end", context=context)
        if verifier is not self.verifier:
            verifier.close()

    def _tell(self, event: str, **what: Any) -> None:
        for hook in (plugins().hook, self._observers):
            getattr(hook, event)(**what)


def _limits(prompts: list[list[int]], stop: Stop, max_length: int | None) -> list[int]:
    """Work out the lengths that sequences may reach."""
    if not prompts:
        raise PromptError("expected at least one prompt, got none")
    if stop.max_tokens is None and max_length is None:
        raise OptionError("expected max_tokens, for the target knows no longest sequence; got None")
    for number, prompt in enumerate(prompts):
        if max_length is not None and len(prompt) + (stop.max_tokens or 1) > max_length:
            raise PromptError(
                f"expected prompt {number} and what follows it to fit the target's {max_length} positions, "
                f"got {len(prompt)} tokens and {stop.max_tokens or 1} to generate"
            )
    return [len(prompt) + stop.max_tokens if stop.max_tokens else max_length or 0 for prompt in prompts]


def _texts(texts: list[TextStream], step: Step, done: list[bool]) -> tuple[str, ...] | None:
    if not texts:
        return None
    rows = zip(texts, step.tokens, done, strict=True)
    return tuple(text.add(tokens, last) if tokens else "" for text, tokens, last in rows)
