"""The loop: propose, verify, advance."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from specdec.chance import Chance, Keyed
from specdec.context import Context, Step
from specdec.ends import Ends
from specdec.errors import OptionError, PromptError, VocabularyMismatch
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.metrics import Metrics, Summary
from specdec.nodes import PADDING, array
from specdec.observers import observe
from specdec.options import Sampling, Stop
from specdec.plugins import load_policy, plugins
from specdec.text import Prompt, TextStream, batch, encode


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
        tokens: list[list[int]] = [[] for _ in batch(prompts)]
        text = [""] * len(tokens)
        for step in self.stream(prompts, sampling, stop):
            for row, length in enumerate(step.lengths.tolist()):
                tokens[row] += step.tokens[row, :length].tolist()
                text[row] += step.text[row] if step.text else ""
        said = tuple(text) if self.tokenizer is not None else None
        return Generation(tuple(map(tuple, tokens)), said, self.metrics.summary())

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
        encoded = [encode(prompt, self.tokenizer) for prompt in batch(prompts)]
        options = sampling.spread(len(encoded)) if isinstance(sampling, Sampling) else tuple(sampling)
        if len(options) != len(encoded):
            raise OptionError(f"expected a sampling for each of {len(encoded)} prompts, got {len(options)}")
        ends = Ends(stop, self.verifier.end_tokens, self.tokenizer)
        context = self._begin(encoded, options, _limits(encoded, stop, self.verifier.max_length))
        return self._run(context, ends)

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

    def _begin(self, prompts: list[list[int]], sampling: tuple[Sampling, ...], limits: Tensor) -> Context:
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        width = int(lengths.max())
        tokens = torch.tensor([prompt + [PADDING] * (width - len(prompt)) for prompt in prompts])
        step = self.verifier.prefill(tokens, lengths, self.drafter.needs, sampling)
        done = torch.zeros(len(prompts), dtype=torch.bool)
        context = Context(tokens, lengths, limits, done, sampling, step, self._chance)
        self.metrics = Metrics()
        self.drafter.begin(context)
        return context

    def _run(self, context: Context, ends: Ends) -> Iterator[Step]:
        texts = [] if self.tokenizer is None else [TextStream(self.tokenizer) for _ in context.sampling]
        self._tell("on_begin", context=context)
        while not array(context.done).all():
            tree = self.drafter.propose(context, self.policy)
            step, done = ends.cut(context, self.verifier.verify(tree))
            context = context.extend(step, done)
            self.metrics.observe(tree, step)
            self._tell("on_step", context=context, tree=tree, step=step)
            yield evolve(step, text=_texts(texts, step, done))
        self._tell("on_end", context=context)

    def _tell(self, event: str, **what: Any) -> None:
        for hook in (plugins().hook, self._observers):
            getattr(hook, event)(**what)


def _limits(prompts: list[list[int]], stop: Stop, max_length: int | None) -> Tensor:
    """Work out the lengths that rows may reach."""
    if not prompts:
        raise PromptError("expected at least one prompt, got none")
    if stop.max_tokens is None and max_length is None:
        raise OptionError("expected max_tokens, for the target knows no longest row; got None")
    for row, prompt in enumerate(prompts):
        asked = len(prompt) + (stop.max_tokens or 1)
        if max_length is not None and asked > max_length:
            raise PromptError(
                f"expected prompt {row} and what follows it to fit the target's {max_length} positions, "
                f"got {len(prompt)} tokens and {stop.max_tokens or 1} to generate"
            )
    return torch.tensor(
        [max_length if stop.max_tokens is None else len(prompt) + stop.max_tokens for prompt in prompts]
    )


def _texts(texts: list[TextStream], step: Step, done: Tensor) -> tuple[str, ...] | None:
    if not texts:
        return None
    return tuple(
        text.add(step.tokens[row, :length].tolist(), bool(done[row])) if length else ""
        for row, (text, length) in enumerate(zip(texts, step.lengths.tolist(), strict=True))
    )
