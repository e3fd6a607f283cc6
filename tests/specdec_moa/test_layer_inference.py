"""Target layer inference, given the true input of its first layer, is the target itself."""

from copy import deepcopy
from functools import cache, partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from specdec import Tree, pack
from specdec.heads import SplitLayer, TargetParts, norm
from specdec.target import Engine, TreePass
from specdec_moa.cache import MoACache
from specdec_moa.encoder import MoAFeatures
from tests.specdec_moa.heads import FAMILIES, head, target
from tests.toys import VOCAB

ROWS = 3


class Oracle(MoACache):
    """Knows the target's own hidden states."""

    truth: Tensor

    def predict(self, *args: Any) -> Tensor:
        return self.truth


@cache
def unrounded(kind: str) -> PreTrainedModel:
    """Make a target whose norms compute in the states' own type: transformers' round to float32, ours do not."""
    model = deepcopy(target(kind))
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(norm, module)
    return model


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Draw tokens and parents of a tree of any shape."""
    size = draw(st.integers(1, 7))
    tokens = draw(st.lists(st.integers(0, VOCAB - 1), min_size=size, max_size=size))
    return tokens, [-1, *(draw(st.integers(0, node - 1)) for node in range(1, size))]


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("layers", [1, 2, 3])
@settings(max_examples=8)
@given(data=st.data())
def test_reproduces_the_target(kind: str, layers: int, data: st.DataObject) -> None:
    model = unrounded(kind)
    made, engine = head(model), Engine(model)
    oracle = Oracle(made, TargetParts.of(model, layers))
    oracle.open(ROWS)
    slots = [engine.open() for _ in range(ROWS)]
    read_prompts(engine, slots, [data.draw(st.integers(0, 14)) for _ in range(ROWS)])
    known = [0] * ROWS
    for _ in range(3):
        nothing = SplitLayer.of(made.cross_attention).keys_values
        learn(oracle, nothing, engine, slots, known, layers)
        grown = [Tree.of(*data.draw(trees())) for _ in range(ROWS)]
        packed, entering = pack(grown), model.config.num_hidden_layers - layers
        truth = engine.read(slots, packed.tokens, packed.depths, packed.ancestors, hidden_states=[entering])
        lengths, start, size = [slot.length for slot in slots], 0, packed.tokens.shape[1]
        while start < size:
            end = data.draw(st.integers(start + 1, size))
            oracle.truth = truth.hidden_states[entering][:, start:end]
            tree_pass = TreePass(lengths, packed.depths[:, :end], packed.ancestors[:, start:end, :end])
            logits = oracle.read(packed.tokens[:, start:end], tree_pass, oracle.memory(range(ROWS)))
            real = torch.arange(start, end) < torch.tensor([len(tree) for tree in grown])[:, None]
            torch.testing.assert_close(logits[real], truth.logits[:, start:end][real])
            start = end
        for row, (slot, tree) in enumerate(zip(slots, grown, strict=True)):
            known[row] = slot.length
            engine.keep(slot, [0, *tree.path(data.draw(st.integers(0, len(tree) - 1)))])


def read_prompts(engine: Engine, slots: list[Any], lengths: list[int]) -> None:
    size = max(*lengths, 1)
    tokens = torch.randint(VOCAB, (ROWS, size), generator=torch.Generator().manual_seed(sum(lengths)))
    causal = torch.ones(size, size, dtype=torch.bool).tril().expand(ROWS, -1, -1)
    engine.read(slots, tokens, torch.arange(size).expand(ROWS, -1), causal, logits=False)
    for slot, length in zip(slots, lengths, strict=True):
        engine.keep(slot, range(length))


def learn(oracle: Oracle, memory: Any, engine: Engine, slots: list[Any], known: list[int], layers: int) -> None:
    """Hand over the target's keys and values of what was decided since."""
    lengths = [slot.length - start for slot, start in zip(slots, known, strict=True)]
    size = max(lengths)
    if size == 0:
        return
    columns = (torch.tensor(known)[:, None] + torch.arange(size)).clamp(max=max(slot.length for slot in slots) - 1)
    last = range(len(engine.layers) - layers, len(engine.layers))
    keys, values = engine.keys_values(last, slots, columns)
    states = torch.zeros(ROWS, size, engine.config.hidden_size).double()
    oracle.learn(MoAFeatures(memory(states), keys, values), known, lengths)
