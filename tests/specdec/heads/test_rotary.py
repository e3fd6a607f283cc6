"""Positions are looked up as transformers' modules compute them."""

import pytest
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from specdec.heads import RotaryTable, rotate
from tests.specdec_moa.heads import head, target


def rotary_of(kind: str) -> LlamaRotaryEmbedding:
    config = head(target()).config.block("self_attention")
    config.rope_parameters = {
        "rope_type": kind,
        "rope_theta": 10000.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    return LlamaRotaryEmbedding(config)


@pytest.mark.parametrize("kind", ["default", *sorted(ROPE_INIT_FUNCTIONS.keys() - {"longrope", "proportional"})])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_table_is_its_module(kind: str, dtype: torch.dtype) -> None:
    table, states = RotaryTable(rotary_of(kind), dtype, torch.device("cpu")), torch.zeros(1, dtype=dtype)
    rotary = rotary_of(kind)
    for start in (0, 3, 300, 20):
        positions = torch.arange(start, start + 4)[None]
        for one, two in zip(rotary(states, positions), table(positions, start + 4), strict=True):
            assert two.dtype == dtype
            torch.testing.assert_close(one, two)


def test_heads_are_rotated_as_transformers_does() -> None:
    queries, keys = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8)
    rotary = rotary_of("default")(queries, torch.arange(5)[None] + 3)
    expected = apply_rotary_pos_emb(queries, keys, *rotary)
    torch.testing.assert_close((rotate(queries, rotary), rotate(keys, rotary)), expected)
