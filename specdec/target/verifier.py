"""The target on this machine, as a verifier."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from attrs import define, evolve
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from specdec.chance import Chance, Dice, Keyed
from specdec.context import Step
from specdec.features import Features, Needs
from specdec.interfaces import Rule, Verifier, Walk
from specdec.nodes import Array, array, rectangle
from specdec.options import Sampling
from specdec.rules import Match
from specdec.sampling import RowLaw
from specdec.target.checks import check_prompts, check_tree
from specdec.target.engine import Engine, Reading, Slot
from specdec.target.loading import Name, load_model, load_tokenizer
from specdec.tree import Tree

CHUNK = 512
"""Prompt tokens read in one pass, so that a long prompt's mask stays small."""


@define(eq=False)
class _Row:
    slot: Slot
    sampling: Sampling
    tokens: Int[Array, " T"]


class Target(Verifier):
    """A causal language model of transformers, which decides by a rule what of a tree it would have said."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        rule: Rule | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Use a loaded model as it is.

        Raises:
            UnsupportedModel: its cache cannot be cut to a prefix, or its attention takes no mask.
        """
        self.engine = Engine(model)
        self.tokenizer = tokenizer
        self.rule = rule or Match()
        self.vocab_size = self.engine.vocab_size
        self.max_length = self.engine.max_length
        self.end_tokens = _end_tokens(model)
        self._chance = chance or Keyed()
        self._needs = Needs()
        self._rows: list[_Row | None] = []

    @classmethod
    def from_pretrained(cls, name: Name, rule: Rule | None = None, **options: Any) -> "Target":
        """Load model and tokenizer from a folder or the hub; `options` are those of `load_model`."""
        return cls(load_model(name, **options), load_tokenizer(name), rule)

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model itself."""
        return self.engine.model

    def prefill(
        self,
        tokens: Int[Tensor, "B T"],
        lengths: Int[Tensor, " B"],
        needs: Needs,
        sampling: Sequence[Sampling],
    ) -> Step:
        check_prompts(tokens, lengths, sampling, self.vocab_size, self.max_length)
        self.close()
        self._needs = needs
        try:
            for row, options in enumerate(sampling):
                prompt = tokens[row, : lengths[row]]
                self._rows.append(_Row(self.engine.open(len(prompt)), options, array(prompt)))
            features = self._read_prompts(tokens, lengths - 1)
        except BaseException:
            self.close()
            raise
        return Step(tokens[:, 1:], lengths - 1, torch.zeros_like(lengths), features)

    def verify(self, tree: Tree) -> Step:
        rows = [None if row is None else row.tokens for row in self._rows]
        check_tree(tree, rows, self.vocab_size, self.max_length)
        active = self._active(tree)
        slots = [row.slot for _, row in active]
        part = tree.rows([place for place, _ in active])
        hidden = self._needs.hidden_states
        said = self.engine.read(slots, part.tokens, part.depths, part.ancestors, hidden_states=hidden)
        if said.logits is None:
            raise RuntimeError("a pass over a tree gives logits")
        walks = [self._walk(part, index, row, said.logits[index]) for index, (_, row) in enumerate(active)]
        return self._decide(tree, active, walks, self._stacked(said))

    def close(self) -> None:
        self.engine.close(*[row.slot for row in self._rows if row is not None])
        self._rows = []

    def _read_prompts(self, tokens: Int[Tensor, "B T"], counts: Int[Tensor, " B"]) -> Features | None:
        slots, parts = [row.slot for row in self._rows if row is not None], []
        longest = int(counts.max())
        reach = max(longest, 1)  # a model reads no fewer than one token, if only as padding
        for start in range(0, reach, CHUNK):
            chunk = tokens[:, start : min(start + CHUNK, reach)]
            size = chunk.shape[1]
            valid = torch.arange(start, start + size) < counts[:, None]
            chunk = torch.where(valid, chunk, tokens[:, :1])  # a row that has been read takes part with its first token
            depths = torch.arange(size).expand(len(chunk), -1).masked_fill(~valid, 0)
            before = torch.ones(size, size, dtype=torch.bool).tril().expand(len(chunk), -1, -1)
            hidden = self._needs.hidden_states
            said = self.engine.read(slots, chunk, depths, before, hidden_states=hidden, logits=False)
            self.engine.keep_all(slots, [range(count) for count in valid.sum(1).tolist()])
            parts.append(self._stacked(said))
        if not self._needs:
            return None
        read = [part for part in parts if part is not None]
        states = torch.cat(read, 1)[:, :longest] if read else None
        columns = torch.arange(longest).expand(len(slots), -1)
        return self._features(slots, columns, states)

    def _active(self, tree: Tree) -> list[tuple[int, _Row]]:
        """List the rows that take part, in the order of their slots; rows without a root leave for good."""
        for place, root in enumerate(tokens[0] for tokens in tree.lists.tokens):
            row = self._rows[place]
            if root < 0 and row is not None:
                self.engine.close(row.slot)
                self._rows[place] = None
        active = [(place, row) for place, row in enumerate(self._rows) if row is not None]
        return sorted(active, key=lambda pair: pair[1].slot.index)

    def _walk(self, part: Tree, index: int, row: _Row, logits: Tensor) -> Walk:
        dice = Dice(self._chance, row.sampling.seed, len(row.tokens) - 1)
        law = RowLaw(row.sampling, torch.from_numpy(row.tokens), part, index, logits)
        return self.rule.walk(part, index, law, dice)

    def _decide(self, tree: Tree, active: list[tuple[int, _Row]], walks: list[Walk], hidden: Tensor | None) -> Step:
        """Keep the accepted paths, and lay out what was decided."""
        decided: list[list[int]] = [[] for _ in self._rows]
        for (place, row), walk in zip(active, walks, strict=True):
            decided[place] = [*(tree.lists.tokens[place][node] for node in walk.path), walk.token]
            row.tokens = np.concatenate([row.tokens, decided[place]])
        self.engine.keep_all([row.slot for _, row in active], [[0, *walk.path] for walk in walks])
        lengths = np.array([len(tokens) for tokens in decided])
        accepted = torch.from_numpy(np.maximum(lengths - 1, 0))
        features = self._accepted_features(active, walks, hidden) if self._needs else None
        return Step(torch.from_numpy(rectangle(decided)), torch.from_numpy(lengths), accepted, features)

    def _accepted_features(self, active: list[tuple[int, _Row]], walks: list[Walk], hidden: Tensor | None) -> Features:
        """Gather the features of the roots and of the paths accepted below them."""
        nodes = torch.from_numpy(rectangle([[0, *walk.path] for walk in walks]))
        roots = [row.slot.length - 1 - len(walk.path) for (_, row), walk in zip(active, walks, strict=True)]
        columns = torch.tensor(roots)[:, None] + torch.arange(nodes.shape[1])
        if hidden is not None:
            hidden = hidden[torch.arange(len(nodes))[:, None], nodes.clamp(min=0)]
        features = self._features([row.slot for _, row in active], columns, hidden)
        places = [place for place, _ in active]
        if places == list(range(len(self._rows))):
            return features
        return _scatter(features, torch.tensor(places), len(self._rows))

    def _stacked(self, reading: Reading) -> Float[Tensor, "R M L E"] | None:
        layers = self._needs.hidden_states
        return torch.stack([reading.hidden_states[layer] for layer in layers], 2) if layers else None

    def _features(self, slots: list[Slot], columns: Int[Tensor, "R K"], hidden: Tensor | None) -> Features:
        """Gather what the drafter reads of these columns, encoded if it brings an encoder."""
        layers = self._needs.keys_values
        keys, values = self.engine.keys_values(layers, slots, columns) if layers else (None, None)
        raw = Features(hidden, keys, values)
        if self._needs.encoder is None:
            return raw
        with torch.no_grad():
            return Features(encoded=self._needs.encoder.encode(raw))


def _end_tokens(model: PreTrainedModel) -> tuple[int, ...]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return ()
    return (ends,) if isinstance(ends, int) else tuple(ends)


def _scatter(features: Features, places: Int[Tensor, " R"], rows: int) -> Features:
    """Put the features of the rows that took part back to where their rows are."""

    def spread(part: Tensor | None) -> Tensor | None:
        if part is None:
            return None
        return part.new_zeros(rows, *part.shape[1:]).index_copy(0, places.to(part.device), part)

    return evolve(
        features,
        hidden=spread(features.hidden),
        keys=spread(features.keys),
        values=spread(features.values),
        encoded=spread(features.encoded),
    )
