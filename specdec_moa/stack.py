"""The layers that drafted tokens pass."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from specdec_moa.attention import Block, KeysValues
from specdec_moa.last import LastLayers
from specdec_moa.model import MoAModel
from specdec_moa.parts import TargetParts
from specdec_moa.readers import LARGE
from specdec_moa.rotary import Rotary, Turns


class Stack:
    """Self-attention, cross-attention, and the target's last layers; copies where these are small, as they are now."""

    def __init__(self, model: MoAModel, parts: TargetParts) -> None:
        self.model, self.parts = model, parts
        with torch.no_grad():
            self.own, self.cross = Block.of(model.self_attention), Block.of(model.cross_attention)
            self.finish = LastLayers(parts)
            self._made = self._of_all_tokens()
        self.own_turns = turns = Turns(model.self_rotary)
        self.cross_turns = turns if turns.like(model.cross_rotary) else Turns(model.cross_rotary)
        alike = parts.dtype == model.dtype and turns.like(parts.rotary)
        self.last_turns = turns if alike else Turns(parts.rotary)

    def query_and_project(
        self, tokens: Int[Tensor, "R M"], embedded: Float[Tensor, "R M E"], rotary: Rotary
    ) -> tuple[Float[Tensor, "R H M D"], KeysValues]:
        """Make the self-attention's queries, keys and values: they depend on the token alone, and its position.

        Those of a small vocabulary are made once, and looked up.
        """
        if self._made is None:
            return self.own.query_and_project(embedded, rotary)
        return self.own.part(self._made[tokens], rotary)

    def turns(
        self, states: Float[Tensor, "..."], positions: Int[Tensor, "B M"], end: int
    ) -> tuple[Rotary, Rotary, Rotary]:
        """Give the angles of each part, which are often the same, at positions that are all before `end`."""
        own = self.own_turns(states, positions, end)
        cross = own if self.cross_turns is self.own_turns else self.cross_turns(states, positions, end)
        if self.last_turns is self.own_turns or not self.parts.layers:
            return own, cross, own
        return own, cross, self.last_turns(states.to(self.parts.dtype), positions, end)

    def _of_all_tokens(self) -> Float[Tensor, "V W"] | None:
        size = int(self.parts.config.vocab_size)
        if size * sum(self.own.heads) * self.model.config.head_dim > LARGE:
            return None
        embedded = self.parts.embed(torch.arange(size, device=self.parts.device)).to(self.model.dtype)
        return self.own.reads(embedded[None])[0]
