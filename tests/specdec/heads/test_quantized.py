"""Targets whose layers are quantized, the output head too: heads draft for them, and learn from them."""

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter, SmallModel
from specdec.heads import TargetParts, float_type, soft_cross_entropy
from specdec.policies import Static
from specdec_moa import MoADrafter
from tests.plain import generate
from tests.specdec_eagle.heads import drafter as eagle_drafter
from tests.specdec_moa.heads import head as moa_head
from tests.toys import RAGGED, build


class Packed(nn.Module):
    """Keeps buffers, as GPTQ and AWQ do: no weight, no parameter."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = weight.abs().amax(1, keepdim=True) / 127
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("scales", scales)
        self.store((weight / scales).round().to(torch.int8))

    def store(self, numbers: Tensor) -> None:
        self.register_buffer("numbers", numbers)

    def forward(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.numbers.to(states.dtype) * self.scales.to(states.dtype))


class Int8(Packed):
    """Keeps a parameter of int8, as bitsandbytes does."""

    def store(self, numbers: Tensor) -> None:
        self.weight = nn.Parameter(numbers, requires_grad=False)

    @property
    def numbers(self) -> Tensor:
        return self.weight


KINDS = [Packed, Int8]


def quantized(kind: type[Packed]) -> PreTrainedModel:
    """Quantize all layers, the output head too."""
    model = build("llama", num_hidden_layers=4)
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            model.set_submodule(path, kind(module))
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_its_text_is_that_of_generate(kind: type[Packed]) -> None:
    model = quantized(kind)
    said = Decoder(SmallModel(model), Target(model), Static((2, 2))).generate(RAGGED, stop=Stop(8, tokens=()))

    assert [list(text) for text in said.tokens] == [generate(model, one, 8, Sampling()) for one in RAGGED]


@pytest.mark.parametrize("name", ["eagle", "eagle3", "moa"])
@pytest.mark.parametrize("kind", KINDS)
def test_heads_draft_for_it(kind: type[Packed], name: str) -> None:
    model = quantized(kind)
    parts = TargetParts.of(model)
    drafter = MoADrafter(moa_head(model), parts) if name == "moa" else eagle_drafter(name, model)
    target = Target(model)
    said = Decoder(drafter, target, Static((2, 2))).generate(RAGGED[:2], stop=Stop(8, tokens=()))

    assert parts.dtype == torch.float64
    assert said.tokens == Decoder(NoDrafter(), target).generate(RAGGED[:2], stop=Stop(8, tokens=())).tokens


@pytest.mark.parametrize("kind", KINDS)
def test_heads_learn_from_it(kind: type[Packed]) -> None:
    """As from an output head with the same weights that is not quantized."""
    output = kind(nn.Linear(16, 30, bias=False))
    plain = nn.Linear(16, 30, bias=False)
    with torch.no_grad():
        plain.weight.copy_(output(torch.eye(16)).T)
    truth, slopes = torch.randn(5, 16), []
    for layer in (output, plain):
        states = truth.flip(0).clone().requires_grad_()
        soft_cross_entropy(states, truth, torch.ones(5), layer).backward()
        slopes.append(states.grad)

    torch.testing.assert_close(*slopes)
    assert float_type(output, torch.float64) == torch.float64
