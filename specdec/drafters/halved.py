"""A product with weights of half the size, for drafting on a CPU."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

LARGE = 2**18
"""Numbers in weights from which on these do not stay in a core's cache, so that a product waits for them."""
STEP = 2.0**-25
"""By how much rounding may move a weight: half a step of the smallest numbers that half precision has."""


class Halved(nn.Module):
    """A linear layer that reads its weights in half precision, and computes in float32."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self._packed = torch.ops.quantized.linear_prepack_fp16(layer.weight.detach(), layer.bias)

    def forward(self, states: Float[Tensor, "*M E"]) -> Float[Tensor, "*M V"]:
        """Give what the layer would, without gradients; M is at least one number."""
        return cast(Tensor, torch.ops.quantized.linear_dynamic_fp16(states, self._packed))


def halved(layer: nn.Module) -> nn.Module:
    """Halve a layer, where that rounds nothing and is faster; else give the layer itself.

    Every level of drafting waits for the output head's weights, the most that it reads. Those that were stored in 16
    bits lose nothing: no weight moves by more than `STEP`. The copy stays as the layer is now, and is kept beside it.
    """
    if not isinstance(layer, nn.Linear) or layer.weight.numel() < LARGE or not _packs(layer.weight):
        return layer
    parts = torch.split(layer.weight.detach(), max(LARGE // layer.in_features, 1))
    stored_so = all(bool(((part.half().float() - part).abs() <= STEP).all()) for part in parts)
    return Halved(layer) if stored_so else layer


def _packs(weight: Tensor) -> bool:
    """Whether torch has the product here: it is fbgemm's, for x86."""
    engine = "fbgemm" in torch.backends.quantized.supported_engines
    return engine and weight.device.type == "cpu" and weight.dtype == torch.float32
