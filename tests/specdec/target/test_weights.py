import pytest
import torch

from specdec.target.weights import WORDS, weights_hash
from tests.toys import build


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_targets_are_told_apart_by_any_weight_and_any_option(dtype: torch.dtype) -> None:
    model = build("llama", dtype=dtype, vocab_size=109, hidden_size=96)
    hashes = [weights_hash(model)]
    for weight in model.parameters():
        for place in (0, weight.numel() // 2, -1):  # in rows of words, or in the rest
            one = weight.view(-1)[place:][:1]
            before = one.clone()
            one.add_(1)
            hashes.append(weights_hash(model))
            one.copy_(before)
    assert weights_hash(model) == hashes[0]
    rows = model.get_input_embeddings().weight
    assert rows.numel() * rows.element_size() > 8 * WORDS
    rows.data = rows[torch.arange(len(rows)).roll(50)]
    hashes += [weights_hash(model), weights_hash(build("llama", dtype=dtype, vocab_size=109, rms_norm_eps=1e-3))]
    assert len(set(hashes)) == len(hashes)


def test_the_same_target_is_known_again() -> None:
    model = build("llama", dtype=torch.float16)
    assert weights_hash(model) == weights_hash(build("llama", dtype=torch.float16, attn_implementation="eager"))
    for weight in model.parameters():
        weight.data = torch.cat([weight.new_zeros(1, *weight.shape[1:]), weight])[1:]  # where they lie is no matter
    assert weights_hash(model) == weights_hash(build("llama", dtype=torch.float16))
