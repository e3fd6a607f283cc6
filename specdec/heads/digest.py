"""Parts of a head told apart by their weights."""

import hashlib
import json

import torch
from torch import nn


def weights_digest(*parts: nn.Module, **about: object) -> str:
    """Hash weights, rounded to bfloat16, and what else is to be told apart: in whatever precision they were loaded."""
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True, default=str).encode(), digest_size=16)
    for number, part in enumerate(parts):
        for name, weight in sorted(part.state_dict().items()):
            digest.update(f"{number} {name} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().to(torch.bfloat16).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
