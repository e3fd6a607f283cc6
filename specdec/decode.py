"""The loop: propose, verify, advance."""

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from time import perf_counter
from typing import Any
from weakref import WeakSet

from attrs import evolve, frozen
from pluggy import HookRelay
from transformers import PreTrainedTokenizerBase

from specdec.chance import Chance, Keyed, Noise
from specdec.claims import Claim
from specdec.context import Context, Step
from specdec.differences import differences
from specdec.ends import Ends, check_reach, limits_of
from specdec.errors import TreeError, VocabularyMismatch
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.kinds import check_kind
from specdec.metrics import Metrics, Summary
from specdec.observers import observe
from specdec.options import Sampling, Stop
from specdec.plugins import load_policy, plugins
from specdec.requests import check_vocabulary, samplings_for, stops_for, with_span
from specdec.retractable import RetractableText
from specdec.text import Prompt, batch, encode, in_common
from specdec.tree import Tree


@frozen
class Generation:
    """What was generated for each prompt: new tokens, the end token included, and their text.

    It is not `verified` where a drafter said the end of it alone, and the target was never asked.
    """

    tokens: tuple[tuple[int, ...], ...]
    text: tuple[str, ...] | None
    metrics: Summary
    verified: bool = True


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
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Put the parts together; policy and tokenizer are the drafter's and the verifier's own unless given.

        Each observer's methods `on_begin`, `on_step` and `on_end`, if it has them, are called for this decoder's steps.
        A policy that learns also gets each step's duration by the `clock`, in seconds. With a rule whose text depends
        on the tree, the text would then depend on timing, so the drafter's own policy is used instead, with a warning.

        Raises:
            VocabularyMismatch: the drafter is made for a vocabulary of another size.
            OptionError: a part is something else, or an observer has none of these methods.
        """
        check_kind(drafter, Drafter, "a drafter, as load_drafter makes")
        check_kind(verifier, Verifier, "a verifier, such as a Target")
        check_kind(policy, TreePolicy | None, "a policy, as load_policy makes, or None")
        check_kind(tokenizer, PreTrainedTokenizerBase | None, "a tokenizer of transformers, or None")
        check_kind(chance, Chance | None, "a Chance, or None")
        if drafter.vocab_size not in (None, verifier.vocab_size):
            raise VocabularyMismatch(
                f"expected a drafter for the target's vocabulary of {verifier.vocab_size} tokens, "
                f"got {type(drafter).__name__} with {drafter.vocab_size}"
            )
        self.drafter, self.verifier, self.policy = drafter, verifier, _settled(policy, drafter, verifier)
        self.tokenizer = tokenizer or verifier.tokenizer
        self._views, self.metrics = WeakSet[Verifier](), Metrics()
        self._clock, self._learns = clock, verifier.repeatable and learns(self.policy)
        self._alone = load_policy(drafter.policy) if self._learns else self.policy
        self._chance = chance or verifier.chance or Keyed()
        self._observers, self._warned = observe(observers), False

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling: Sampling | Sequence[Sampling] = Sampling(),  # noqa: B008  (frozen)
        stop: Stop | Sequence[Stop] = Stop(),  # noqa: B008
    ) -> Generation:
        """Decode to the end; what `stream` gives, in one piece."""
        run, metrics = self._begin(prompts, sampling, stop)
        tokens, text, verified = list[list[int]](), list[str](), list[bool]()
        for step in run:
            if not tokens:
                tokens, text, verified = [[] for _ in step.tokens], [""] * len(step.tokens), [True] * len(step.tokens)
            for number, new in enumerate(step.tokens):
                if new or step.retracted[number]:
                    verified[number] = step.verified
                tokens[number][len(tokens[number]) - step.retracted[number] :] = new
                if step.text is not None:
                    kept = len(text[number]) - step.retracted_text[number]
                    text[number] = text[number][:kept] + step.text[number]
        rows = tuple(tuple(row) for row in tokens)
        return Generation(rows, tuple(text) if self.tokenizer else None, metrics.summary(), all(verified))

    def stream(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling: Sampling | Sequence[Sampling] = Sampling(),  # noqa: B008
        stop: Stop | Sequence[Stop] = Stop(),  # noqa: B008
    ) -> Generator[Step, None, None]:
        """Read the prompts now, then decode as the steps are asked for; close it to end early.

        What the target holds of a stream that was closed is freed when the next sequence begins or ends.

        One `Sampling` for several prompts is spread over them as `Sampling.spread` says; there may be one for each,
        and a `Stop` for each. Prompts are text, messages, token ids, or what a tokenizer gives.

        Raises:
            PromptError: a prompt is none of these, empty, outside the vocabulary, or too long for what is to be
                generated.
            OptionError: not as many samplings or stops as prompts, or a stop string without a tokenizer.
        """
        return self._begin(prompts, sampling, stop)[0]

    def close(self) -> None:
        """Close drafter and verifier; a stream that still needs them says so when it is read."""
        verifiers = [*self._views, self.verifier]
        Claim.end(self.drafter, *verifiers)
        self.drafter.close()
        for verifier in verifiers:
            verifier.close()

    def __repr__(self) -> str:
        return f"Decoder({self.drafter!r}, {self.verifier!r}, {self.policy!r})"

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling: Sampling | Sequence[Sampling],
        stop: Stop | Sequence[Stop],
    ) -> tuple[Generator[Step, None, None], Metrics]:
        """Read the prompts; give the steps that follow, and what counts them."""
        encoded = [encode(prompt, self.tokenizer) for prompt in batch(prompts)]
        options, stops = samplings_for(sampling, len(encoded)), stops_for(stop, len(encoded))
        limits = limits_of(encoded, stops, self.verifier.max_length, self.verifier.length_advice)
        check_reach(limits, self.drafter)
        ends = Ends(stops, self.verifier.end_tokens, self.tokenizer)
        for one in options:
            check_vocabulary(one, self.verifier.vocab_size)
        rows = zip(options, stops, encoded, limits, strict=True)
        options = tuple(with_span(*row, self.verifier.end_tokens) for row in rows)
        if not self._warned and (reason := differences(self.verifier.generation_config, options[0], stops[0])):
            warnings.warn(reason, stacklevel=3)
            self._warned = True
        verifier = self.verifier.view()
        self._views.add(verifier)
        noise = tuple(Noise(self._chance, one.seed) for one in options)
        step = verifier.prefill(encoded, self.drafter.needs, options)
        claim = Claim.of(self.drafter, verifier)
        context = Context(encoded, limits, [False] * len(encoded), options, step, noise, self.verifier.vocab_size)
        with claim.held():
            self.drafter.begin(context)
        self.metrics = Metrics()
        return self._run(verifier, claim, context, ends, self.metrics), self.metrics

    def _run(
        self, verifier: Verifier, claim: Claim, context: Context, ends: Ends, metrics: Metrics
    ) -> Generator[Step, None, None]:
        texts = [RetractableText(self.tokenizer, prompt) for prompt in context.tokens] if self.tokenizer else []
        relays, first = (plugins().hook, self._observers), True
        _tell(relays, "on_begin", context=context)
        while True:
            start = self._clock()
            trees = self._propose(context, claim, first)
            drafted = self._clock()
            step = verifier.settle() if all(context.done) else verifier.verify(trees)
            if step is None:
                break
            verified = self._clock()
            step, done = ends.cut(context, step)
            context, before = context.extend(step, done), context
            if any(step.retracted):
                with claim.held():
                    self.drafter.cut(_unchanged(before, context))
            if step.verified and step.starts is None:
                metrics.observe(trees, step)
                if self._learns and not first:
                    self.policy.observe(trees, step, drafted - start, verified - drafted)
            first = False
            _tell(relays, "on_step", context=context, trees=trees, step=step)
            yield _with_text(step, texts, done)
        _tell(relays, "on_end", context=context)
        if verifier is not self.verifier:
            verifier.close()

    def _propose(self, context: Context, claim: Claim, first: bool) -> list[Tree | None]:
        """Have the drafter grow trees for the sequences that are not done.

        Alone it has a policy that always drafts: one that learns may find that drafts are not worth their time.
        """
        if all(context.done):
            return [None] * len(context.done)
        with claim.held():
            policy = self.policy if context.step.verified else self._alone
            if self._learns and context.step.verified:
                room = max(context.room[number] for number in context.active)
                policy.begin(self.drafter.unread(context), room, not first)
            trees = self.drafter.propose(context, policy)
        if [tree is None for tree in trees] != context.done:
            raise TreeError(
                f"expected {type(self.drafter).__name__} to give a tree for sequences {context.active} of "
                f"{len(context.done)} and None for the others, got trees for "
                f"{[number for number, tree in enumerate(trees) if tree is not None]} of {len(trees)}"
            )
        return trees


def _unchanged(before: Context, after: Context) -> list[int]:
    """Count the tokens at the beginning of each sequence that a step left as they were."""
    return [in_common(*pair) for pair in zip(before.tokens, after.tokens, strict=True)]


def _with_text(step: Step, texts: Sequence[RetractableText], done: Sequence[bool]) -> Step:
    """Say what a step takes of each text, and what it adds."""
    if not texts:
        return step
    rows = zip(texts, step.tokens, done, step.retracted, strict=True)
    changes = [text.add(new, last, verified=step.verified, retracted=gone) for text, new, last, gone in rows]
    retracted, gained = zip(*changes, strict=True)
    return evolve(step, retracted_text=retracted, text=gained)


def _settled(policy: TreePolicy | None, drafter: Drafter, verifier: Verifier) -> TreePolicy:
    """Give the policy, or the drafter's own where there is none, or where it would make texts depend on time."""
    if policy is not None and learns(policy) and not verifier.repeatable:
        warnings.warn(
            f"expected a rule whose text is the same for every tree, such as match, with {policy!r}, whose trees "
            f"depend on time; got {verifier!r}, so the drafter's own policy takes its place: {drafter.policy}",
            stacklevel=3,
        )
        policy = None
    return policy or load_policy(drafter.policy)


def learns(policy: TreePolicy) -> bool:
    """Say whether a policy hears of steps, so that its trees depend on what was decoded before."""
    return type(policy).observe is not TreePolicy.observe


def _tell(relays: Iterable[HookRelay], event: str, **what: Any) -> None:
    for relay in relays:
        getattr(relay, event)(**what)
