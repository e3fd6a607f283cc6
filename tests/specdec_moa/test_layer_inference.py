"""Target layer inference, given the true input of its first layer, is the target itself."""

from copy import deepcopy
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from specdec import Tree
from specdec.target import Engine, TreePass
from specdec_moa import TargetParts
from specdec_moa.attention import Block
from specdec_moa.encoder import Parcel
from specdec_moa.readers import normed
from specdec_moa.rows import Recalled, Rows
from specdec_moa.stack import Stack
from tests.specdec_moa.heads import FAMILIES, head, target
from tests.toys import VOCAB

ROWS = 3


class Oracle(Rows):
    """Knows the target's own hidden states."""

    truth: Tensor

    def predict(self, states: Tensor, queries: Tensor, recalled: Recalled) -> Tensor:
        return self.truth


@cache
def unrounded(kind: str) -> PreTrainedModel:
    """Make a target whose norms compute in the states' own type: transformers' round to float32, ours do not."""
    model = deepcopy(target(kind))
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(normed, module)
    return model


@st.composite
def trees(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw tokens and parents of trees of any shape, some rows with fewer nodes."""
    size = draw(st.integers(1, 7))
    rows = []
    for _ in range(ROWS):
        count = draw(st.integers(1, size))
        rows.append([-1, *(draw(st.integers(0, node - 1)) for node in range(1, count)), *[-2] * (size - count)])
    parents = torch.tensor(rows)
    tokens = torch.tensor([[draw(st.integers(0, VOCAB - 1)) for _ in range(size)] for _ in range(ROWS)])
    return tokens.masked_fill(parents < -1, -1), parents.clamp(min=-1)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("layers", [1, 2, 3])
@settings(max_examples=8)
@given(data=st.data())
def test_reproduces_the_target(kind: str, layers: int, data: st.DataObject) -> None:
    model = unrounded(kind)
    rows, engine = Oracle(Stack(head(model), TargetParts.of(model, layers)), ROWS), Engine(model)
    slots = [engine.open() for _ in range(ROWS)]
    read_prompts(engine, slots, [data.draw(st.integers(0, 14)) for _ in range(ROWS)])
    known = [0] * ROWS
    for _ in range(3):
        learn(rows, engine, slots, known, layers)
        tokens, parents = data.draw(trees())
        tree = Tree(tokens, parents, torch.zeros(tokens.shape))
        entering = model.config.num_hidden_layers - layers
        truth = engine.read(slots, tree.tokens, tree.depths, tree.ancestors, hidden_states=[entering])
        lengths = torch.tensor([slot.length for slot in slots])
        start, size = 0, tree.tokens.shape[1]
        while start < size:
            end = data.draw(st.integers(start + 1, size))
            rows.truth = truth.hidden_states[entering][:, start:end]
            layout = TreePass(lengths, tree.depths[:, :end], tree.ancestors[:, start:end, :end])
            said = rows.read(tree.tokens[:, start:end], layout, rows.recall(np.arange(ROWS)))
            real = tree.nodes[:, start:end]
            torch.testing.assert_close(said[real], truth.logits[:, start:end][real])
            start = end
        for row, slot in enumerate(slots):
            node = data.draw(st.integers(0, int(tree.nodes[row].sum()) - 1))
            known[row] = slot.length
            engine.keep(slot, [0, *tree.path(row, node)])


def read_prompts(engine: Engine, slots: list[Any], lengths: list[int]) -> None:
    size = max(*lengths, 1)
    tokens = torch.randint(VOCAB, (ROWS, size), generator=torch.Generator().manual_seed(sum(lengths)))
    causal = torch.ones(size, size, dtype=torch.bool).tril().expand(ROWS, -1, -1)
    engine.read(slots, tokens, torch.arange(size).expand(ROWS, -1), causal, logits=False)
    for slot, length in zip(slots, lengths, strict=True):
        engine.keep(slot, range(length))


def learn(rows: Rows, engine: Engine, slots: list[Any], known: list[int], layers: int) -> None:
    """Hand over the target's keys and values of what was decided since."""
    starts, lengths = torch.tensor(known), torch.tensor([slot.length for slot in slots])
    size = int((lengths - starts).max())
    if size == 0:
        return
    columns = (starts[:, None] + torch.arange(size)).clamp(max=int(lengths.max()) - 1)
    last = range(len(engine.layers) - layers, len(engine.layers))
    keys, values = engine.keys_values(last, slots, columns)
    nothing = torch.zeros(ROWS, size, rows.stack.model.config.hidden_size).double()
    memory = Block.of(rows.stack.model.cross_attention).project(nothing)
    rows.learn(Parcel(memory, keys, values), starts, lengths - starts)
