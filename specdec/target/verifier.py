"""The target on this machine, as a verifier: the view of one batch on its sessions."""

import weakref
from collections.abc import Sequence
from copy import copy
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from specdec.chance import Chance, Keyed
from specdec.context import Step
from specdec.features import Needs
from specdec.interfaces import Rule, Verifier
from specdec.kinds import check_kind
from specdec.options import Sampling
from specdec.pending import FeaturesAt, PendingFeatures
from specdec.rules import Match
from specdec.target.attention import Attention
from specdec.target.checks import check_needs, check_prompts, check_trees
from specdec.target.decisions import Decision, Session
from specdec.target.engine import Engine
from specdec.target.loading import Name, load_model, load_tokenizer
from specdec.target.pass_features import features_of
from specdec.target.sessions import CHUNK, Sessions
from specdec.tree import Tree


class Target(Verifier):
    """A causal language model of transformers, which decides by a rule what of a tree it would have said.

    It serves one batch at a time; `view` gives another one, with a batch of its own on the same model.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase | None = None,
        rule: Rule | None = None,
        chance: Chance | None = None,
        *,
        attention: Attention | None = None,
    ) -> None:
        """Use a loaded model of transformers, or one that PEFT gave adapters, as it is.

        `attention` makes its masks, `DenseMask` by default.

        Raises:
            OptionError: tokenizer, rule or chance are something else, such as their names.
            UnsupportedModel: it does not read trees, chunks of a text or texts side by side as it reads one text.
        """
        check_kind(tokenizer, PreTrainedTokenizerBase | None, "a tokenizer of transformers, or None")
        check_kind(rule, Rule | None, "a rule, as load_rule makes, or None")
        check_kind(chance, Chance | None, "a Chance, or None")
        self.engine = Engine(model, attention)
        self.chance = chance or Keyed()
        self.sessions = Sessions(self.engine, rule or Match(), self.chance)
        self.tokenizer = tokenizer
        self.vocab_size = self.engine.vocab_size
        self.length_advice = self.engine.length_advice
        self.end_tokens = _end_tokens(self.engine.model)
        self.generation_config = self.engine.model.generation_config
        self._batch: list[Session | None] = []

    @classmethod
    def from_pretrained(cls, name: Name, rule: Rule | None = None, **options: Any) -> "Target":
        """Load model and tokenizer from a folder or the hub; `options` are those of `load_model`.

        Raises:
            ModelError: there is no such model, or no tokenizer with it.
            UnsupportedModel: it cannot verify trees.
        """
        return cls(load_model(name, **options), load_tokenizer(name), rule)

    def __repr__(self) -> str:
        model, rule = self.engine.model, self.sessions.rule
        size = f"{self.vocab_size} tokens, {self.max_length or 'any number of'} positions"
        return f"{type(self).__name__}({type(model).__name__}, {size}, {model.dtype} on {model.device}, {rule!r})"

    @property
    def repeatable(self) -> bool:  # type: ignore[override]
        """Whether the text is the same for every tree, which is up to the rule."""
        return self.sessions.rule.repeatable

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model itself."""
        return self.engine.model

    @property
    def max_length(self) -> int | None:  # type: ignore[override]
        """Most tokens that a sequence may have; None if there is no limit."""
        return self.engine.max_length

    def view(self) -> "Target":
        target = copy(self)
        target._batch = batch = list[Session | None]()
        weakref.finalize(target, self.sessions.abandon, batch)
        return target

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        check_prompts(prompts, sampling, self.vocab_size, self.max_length)
        check_needs(needs, len(self.engine.layers))
        self.close()
        try:
            for prompt, options in zip(prompts, sampling, strict=True):
                self._batch.append(self.sessions.open(prompt, options, needs))
            features = self._read_prompts()
        except BaseException:
            self.close()
            raise
        return Step([list(prompt[1:]) for prompt in prompts], [0] * len(prompts), features)

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        active = self._check(trees)
        for number, session in enumerate(self._batch):
            if session is not None and trees[number] is None:
                self.sessions.close(session)
                self._batch[number] = None
        numbers, sessions, forest = zip(*active, strict=True)
        decisions = self.sessions.verify_together(sessions, forest)
        tokens: list[list[int]] = [[] for _ in self._batch]
        for number, decision in zip(numbers, decisions, strict=True):
            tokens[number] = decision.tokens
        accepted = [max(len(row) - 1, 0) for row in tokens]
        return Step(tokens, accepted, self._features(decisions))

    def close(self) -> None:
        self.sessions.close(*[session for session in self._batch if session is not None])
        self._batch.clear()

    def _check(self, trees: Sequence[Tree | None]) -> list[tuple[int, Session, Tree]]:
        """Check the trees, and list the numbers of the sequences that have one."""
        texts = [None if session is None else session.prefix.tokens for session in self._batch]
        check_trees(trees, texts, self.vocab_size, self.max_length)
        rows = enumerate(zip(self._batch, trees, strict=True))
        return [(number, session, tree) for number, (session, tree) in rows if session and tree]

    def _read_prompts(self) -> tuple[FeaturesAt, ...]:
        """Read the prompts in chunks; what the drafter may read of them is joined."""
        pending = PendingFeatures()
        while sessions := [session for session in self._batch if session and session.unread]:
            for part in self._features(self.sessions.read(sessions, CHUNK * len(sessions))):
                pending.add(part)
        return tuple(pending.take())

    def _features(self, decisions: Sequence[Decision]) -> tuple[FeaturesAt, ...]:
        """Say what a drafter may read of one pass."""
        part = features_of(self.sessions, self._batch, decisions)
        return () if part is None else (part,)


def _end_tokens(model: PreTrainedModel) -> tuple[int, ...]:
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if ends is None:
        return ()
    return (ends,) if isinstance(ends, int) else tuple(ends)
