"""Weights in half precision on a CPU, which waits for weights more than it computes; numbers stay in float32."""

from typing import Any, TypeGuard, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specdec.errors import OptionError

LAYER_MIN = 2**18
"""Least weights of a layer that is packed: fewer stay in a core's cache, and no product waits for them."""
MODEL_MIN = 2**22
"""Least weights, in all linear layers, of a model that is packed: fewer stay there together."""
STEP = 2.0**-25
"""By how much rounding may move a weight: half a step of the smallest numbers that half precision has."""
CHOICES = ("full", "half", "auto")
"""Weights as they are, in half precision, or in half precision wherever that moves none by more than `STEP`."""


class HalfPrecisionLinear(nn.Module):
    """A linear layer that reads its weights in half precision, and computes in float32, without gradients."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        bias = None if layer.bias is None else layer.bias.detach()
        self._packed = torch.ops.quantized.linear_prepack_fp16(layer.weight.detach(), bias)

    @property
    def weights(self) -> int:
        """How many weights it has, which are no parameters."""
        return int(self.in_features) * int(self.out_features)

    def forward(self, states: Float[Tensor, "*M E"]) -> Float[Tensor, "*M V"]:
        """Give what the layer would; M is at least one number."""
        return cast(Tensor, torch.ops.quantized.linear_dynamic_fp16(states, self._packed))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Name the weights as the layer did, so that a model is saved and recognised as it was."""
        weight, bias = torch.ops.quantized.linear_unpack_fp16(self._packed)
        destination |= {f"{prefix}weight": weight} | ({} if bias is None else {f"{prefix}bias": bias})


def pack_weights(model: nn.Module, weights: str) -> None:
    """Replace a model's linear layers by copies in half precision, as `weights` says, one of `CHOICES`.

    With `half`, all of them must be such that no weight moves by more than `STEP`. With `auto`, others stay as they
    are, and so do all of a small model.

    Raises:
        OptionError: there is no such choice, or it cannot be followed here; the message says why.
    """
    if weights not in CHOICES:
        raise OptionError(f"expected weights to be one of {', '.join(CHOICES)}, got {weights!r}")
    layers = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear}
    if weights == "half" and (reason := _refusal(layers)):
        raise OptionError(
            f"expected weights that half precision moves by 3e-8 at most, got {reason}; weights='full' works"
        )
    small = sum(layer.weight.numel() for layer in layers.values()) < MODEL_MIN
    if weights == "full" or (weights == "auto" and small):
        return
    for name, layer in layers.items():
        if _refusal({name: layer}) is None:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, HalfPrecisionLinear(layer))


def is_packed(model: nn.Module) -> bool:
    """Whether any of a model's layers reads its weights in half precision."""
    return any(isinstance(module, HalfPrecisionLinear) for module in model.modules())


def packs_exactly(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a layer is large, and half precision moves none of its weights by more than `STEP`."""
    if type(layer) is not nn.Linear or layer.weight.numel() < LAYER_MIN:
        return False
    return _has_product(layer.weight) and _hardly_moves(layer.weight)


def _refusal(layers: dict[str, nn.Linear]) -> str | None:
    """Say why not all of these can be packed."""
    for name, layer in layers.items():
        weight = layer.weight
        if not _has_product(weight):
            return f"{name}: torch has no such product here for {weight.dtype} on {weight.device.type}"
        if not _hardly_moves(weight):
            return f"{name}: it moves weights further"
    return None if layers else "a model without linear layers"


def _has_product(weight: Tensor) -> bool:
    """Whether torch has the product here: it is fbgemm's, for x86."""
    engine = "fbgemm" in torch.backends.quantized.supported_engines
    return engine and weight.device.type == "cpu" and weight.dtype == torch.float32


def _hardly_moves(weight: Float[Tensor, "V E"]) -> bool:
    parts = torch.split(weight.detach(), max(LAYER_MIN // weight.shape[1], 1))
    return all(bool(((part.half().float() - part).abs() <= STEP).all()) for part in parts)
