"""Another attention than one with a dense mask plugs in without a change to the engine."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from specdec.target import Attention, Engine, TreePass
from tests.specdec.target.readings import read_chain, tree_inputs
from tests.toys import build, prompt, tiny

NAME = "ancestor_bits"


class AncestorBits(Attention):
    """Hands over each node's ancestors as the bits of a number, and finds keys in the slots by itself."""

    implementations = (NAME,)
    finds_slots = True
    tree: TreePass

    def mask(self, tree: TreePass, dtype: torch.dtype, window: int | None) -> Tensor:
        AncestorBits.tree = tree
        bits = 2 ** torch.arange(tree.visible.shape[2])
        return (tree.visible * bits).sum(-1)[:, None, :, None]


def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **others: Any) -> Any:
    """Compute node by node, from what is decided and the ancestors alone."""
    if attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, None, **others)
    out, tree, groups = torch.empty_like(query), AncestorBits.tree, query.shape[1] // key.shape[1]
    assert tree.slots is not None
    for row, (slot, length) in enumerate(zip(tree.slots.tolist(), tree.lengths.tolist(), strict=True)):
        for node, bits in enumerate(attention_mask[row, 0, :, 0].tolist()):
            ancestors = [length + place for place in range(tree.depths.shape[1]) if bits >> place & 1]
            keys, values = (
                part[slot, :, [*range(length), *ancestors]].repeat_interleave(groups, 0) for part in (key, value)
            )
            scores = (keys @ query[row, :, node, :, None])[..., 0] * others["scaling"]
            out[row, :, node] = (scores.softmax(-1)[:, None] @ values)[:, 0]
    return out.transpose(1, 2).contiguous(), None


def test_attention_that_is_given_slots_lengths_and_ancestors_reads_the_same() -> None:
    AttentionInterface.register(NAME, attend)
    model = build("llama")
    model.set_attn_implementation(NAME)
    engines = Engine(tiny()), Engine(model, AncestorBits())
    parents = [[-1, 0, 0, 1, 2, 2]] * 2
    logits = []
    for engine in engines:
        slots = [engine.open() for _ in range(4)]
        for slot, size in zip(slots, (9, 2, 5, 7), strict=True):
            read_chain(engine, slot, prompt(size))
            engine.keep(slot, range(size))
        chosen = [slots[3], slots[0]]
        logits.append(engine.read(chosen, *tree_inputs([prompt(6), prompt(6, 1)], parents)).logits)

    torch.testing.assert_close(*logits, rtol=0, atol=1e-12)
