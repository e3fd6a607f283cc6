import torch

from specdec.target.weights import weights_hash
from tests.toys import build


def test_targets_are_told_apart_by_any_weight_and_any_option() -> None:
    model = build("llama", dtype=torch.float32)
    hashes = [weights_hash(model)]
    for weight in model.parameters():
        first = weight.view(-1)[:1]
        before = first.clone()
        first.mul_(1.0001)
        hashes.append(weights_hash(model))
        first.copy_(before)
    weight = model.model.layers[0].mlp.up_proj.weight
    weight.data = weight[torch.arange(len(weight)).roll(1)]
    hashes += [weights_hash(model), weights_hash(build("llama", rms_norm_eps=1e-3, dtype=torch.float32))]
    assert len(set(hashes)) == len(hashes)


def test_the_same_target_is_known_again() -> None:
    model = build("llama", dtype=torch.float16)
    assert weights_hash(model) == weights_hash(build("llama", dtype=torch.float16).float())
    assert weights_hash(model) == weights_hash(build("llama", dtype=torch.float16, attn_implementation="eager"))
