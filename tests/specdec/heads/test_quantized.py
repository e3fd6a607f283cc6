"""Targets whose layers are quantized, the output head too: heads draft for them, and learn from them."""

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter
from specdec.heads import TargetParts, float_type, soft_cross_entropy
from specdec.policies import Static
from specdec_eagle.drafter import EagleDrafter
from specdec_eagle.training3 import method as eagle3_method
from tests.specdec_eagle.heads import KINDS, head, target
from tests.toys import RAGGED


class Packed(nn.Module):
    """Keeps buffers, as GPTQ and AWQ do: no weight, no parameter."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = weight.abs().amax(1, keepdim=True) / 127
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._store((weight / scales).round().to(torch.int8), scales)

    def _store(self, weight: Tensor, scales: Tensor) -> None:
        self.register_buffer("qweight", weight)
        self.register_buffer("scales", scales)

    def forward(self, states: Tensor) -> Tensor:
        stored = self.qweight if "qweight" in dict(self.named_buffers()) else self.weight
        return nn.functional.linear(states, stored.to(states.dtype) * self.scales.to(states.dtype))


class Int8(Packed):
    """Keeps a parameter of int8, as bitsandbytes does."""

    def _store(self, weight: Tensor, scales: Tensor) -> None:
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scales", scales)


def quantized(kind: type[Packed]) -> PreTrainedModel:
    model = target()
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            model.set_submodule(path, kind(module))
    return model
