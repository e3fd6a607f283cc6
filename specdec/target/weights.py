"""A target recognised by what it computes with."""

import hashlib
import json

import torch
from transformers import PreTrainedModel

NAMES = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
"""Of a configuration, what changes nothing that is computed."""
WORDS = 512
"""Words of eight bytes that are summed as integers, which no order of additions changes."""


def weights_hash(model: PreTrainedModel) -> str:
    """Hash a model's configuration, and sums of all bits of its weights: under a second for a billion of them."""
    config = {name: value for name, value in model.config.to_dict().items() if name not in NAMES}
    digest = hashlib.blake2b(json.dumps(config, sort_keys=True, default=str).encode(), digest_size=16)
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        if weight.device.type != "meta" and weight.numel():
            for part in _sums(weight.detach().reshape(-1)):
                digest.update(part.cpu().numpy().tobytes())
    return digest.hexdigest()


def _sums(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum what fills rows of words, and give the rest as it is."""
    bits = (weight.clone() if weight.storage_offset() else weight).view(torch.uint8)
    whole = len(bits) - len(bits) % (8 * WORDS)
    return bits[:whole].view(torch.int64).view(-1, WORDS).sum(-1), bits[whole:]
