"""Drafting with a Mixture of Attentions head."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from specdec import Context, Features, Frontier, Needs
from specdec.heads import HeadDrafter, TargetParts, pack_chains
from specdec.target import TreePass
from specdec_moa.cache import MoACache
from specdec_moa.encoder import MoAEncoder
from specdec_moa.model import MoAModel


class MoADrafter(HeadDrafter):
    """Reads drafted tokens with self-attention, and the target's memory of decided ones with cross-attention.

    With target layer inference, the target's last layers run on what that gives, reading their own keys and values of
    decided tokens and predicted ones of drafted tokens. What the target has not computed, while it is
    out of reach, stays as predicted.
    """

    policy = "dynamic:depth=3,width=4,size=12,sharpness=3"

    def __init__(self, model: MoAModel, parts: TargetParts, cut: str = "projected") -> None:
        """Use a loaded head with parts of its target; `cut` names what crosses over, see `MoAEncoder`.

        Cut `raw` sends the target's own keys and values, and makes the memory here. Small weights are copied,
        and copies do not follow later training.
        """
        super().__init__(model, parts)
        self.model, self.encoder = model, MoAEncoder(model, len(parts.layers), cut)
        self.needs = self._needs(cut)
        self._cache = MoACache(model, self.parts)

    def open(self, size: int) -> None:
        self._cache.open(size)

    def learn(self, features: Features, starts: Sequence[int], lengths: Sequence[int]) -> None:
        config = self.parts.config
        decoded = self.encoder.decode(features, config.num_key_value_heads, self.model.config.head_dim)
        self._cache.learn(decoded, starts, lengths)

    def forget(self, lengths: Sequence[int]) -> None:
        self._cache.cut(lengths)

    def score(self, context: Context, frontier: Frontier) -> Float[Tensor, "R M W"]:
        tokens = [context.tokens[sequence] for sequence in frontier.sequences]
        if frontier.before is None:
            self._memory = self._cache.memory(frontier.sequences)
            return self._read_roots(tokens, frontier.sequences)
        tree = TreePass(self._ends, frontier.read_depths, frontier.visible, lengths=self._lengths)
        return self._cache.read(frontier.tokens, tree, self._memory)

    def _needs(self, cut: str) -> Needs:
        last = int(self.parts.config.num_hidden_layers)
        without_lsa = self.model.config.disable_LSA
        layers = range(self.parts.first if without_lsa else 0, last)
        return Needs((last,) if without_lsa else (), tuple(layers), None if cut == "raw" else self.encoder)

    def _read_roots(self, tokens: Sequence[Sequence[int]], sequences: Sequence[int]) -> Float[Tensor, "R 1 W"]:
        """Read each root, and before it the decided tokens that the last layers have not seen."""
        settled = self._cache.settled
        ends = self._ends = [len(row) - 1 for row in tokens]
        self._lengths = torch.tensor(ends)
        starts = ends
        if self.parts.layers:
            starts = [min(settled[sequence], end) for sequence, end in zip(sequences, ends, strict=True)]
        self._cache.follow(tokens, starts, sequences)
        packed = pack_chains([row[start:] for row, start in zip(tokens, starts, strict=True)])
        lengths = self._lengths if starts is ends else torch.tensor(starts)
        tree = TreePass(starts, packed.depths, packed.ancestors, lengths=lengths)
        only = [end - start for start, end in zip(starts, ends, strict=True)]
        logits = self._cache.read(packed.tokens, tree, self._memory, only)
        for sequence, end in zip(sequences, ends, strict=True):
            settled[sequence] = max(settled[sequence], end)
        return logits
