"""A target recognised by what it computes with."""

import hashlib
import json

import torch
from transformers import PreTrainedModel

NAMES = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
"""Of a configuration, what changes nothing that is computed."""


def weights_hash(model: PreTrainedModel) -> str:
    """Hash a model's configuration, and the exact bits of all weights; half precision counts as the float32 it is.

    The bits of each row are summed as integers, which no order changes; about a second for 4 billion weights.
    """
    config = {name: value for name, value in model.config.to_dict().items() if name not in NAMES}
    digest = hashlib.blake2b(json.dumps(config, sort_keys=True, default=str).encode(), digest_size=16)
    with torch.no_grad():
        for name, weight in sorted(model.state_dict().items()):
            digest.update(f"{name} {tuple(weight.shape)}".encode())
            if weight.device.type != "meta" and weight.numel():
                digest.update(_sums(weight).cpu().numpy().tobytes())
    return digest.hexdigest()


def _sums(weight: torch.Tensor) -> torch.Tensor:
    rows = weight.detach().reshape(-1, weight.shape[-1] if weight.dim() else 1)
    bits = rows.float().contiguous().view(torch.int32) if rows.is_floating_point() else rows
    return bits.sum(-1, dtype=torch.int64)
