"""What is done to a model before and while it is a target: the right text, or an error that says what happened."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import accelerate
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import ModelChanged, UnsupportedModel
from specdec.policies import Static
from tests.plain import decode_plainly
from tests.toys import build, prompt, tiny

PROMPTS = [prompt(9), prompt(3)]
COUNT = 8


def texts(target: Target) -> tuple[tuple[int, ...], ...]:
    return Decoder(NoDrafter(), target).generate(PROMPTS, stop=Stop(COUNT, tokens=())).tokens


def plain() -> tuple[tuple[int, ...], ...]:
    return tuple(decode_plainly(tiny(), tuple(one), Sampling(), COUNT) for one in PROMPTS)


def dropping() -> PreTrainedModel:
    """A model whose every reading differs while it is being trained."""
    return build("llama", attention_dropout=0.5)


@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
@pytest.mark.parametrize("before", [False, True])
def test_a_model_that_is_being_trained_is_read_in_evaluation_mode_and_stays_in_training(before: bool) -> None:
    model = dropping().train(before)
    target = Target(model)
    model.gradient_checkpointing_enable()
    model.train().model.layers[0].eval()  # as a caller may have frozen a part
    modes = [module.training for module in model.modules()]

    assert texts(target) == plain()
    assert [module.training for module in model.modules()] == modes
    target.close()
    assert model.training


def test_a_target_leaves_the_mode_as_it_was() -> None:
    for training in (False, True):
        model = dropping().train(training)
        with Decoder(NoDrafter(), Target(model)) as decoder:
            decoder.generate(PROMPTS[0], stop=Stop(2, tokens=()))
        assert model.training == training


CHANGES: dict[str, tuple[Callable[[PreTrainedModel], Any], str]] = {
    "type": (lambda model: model.float(), "torch.float64 cpu sdpa, got torch.float32 cpu sdpa"),
    "half": (lambda model: model.to(torch.bfloat16), "got torch.bfloat16"),
    "device": (lambda model: model.to("meta"), "got torch.float64 meta"),
    "attention": (lambda model: model.set_attn_implementation("flex_attention"), "got .* flex_attention"),
    "eager": (lambda model: model.set_attn_implementation("eager"), "got .* eager"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_was_changed(name: str) -> None:
    """The error comes before anything is read, and a new target takes the model as it is now."""
    change, message = CHANGES[name]
    model = build("llama")
    target = Target(model)
    first = texts(target)
    change(model)
    with pytest.raises(ModelChanged, match=message):
        texts(target)
    if name == "eager":
        assert texts(Target(model)) == first


def test_a_model_that_was_changed_in_the_middle_of_a_stream() -> None:
    model = build("llama")
    stream = Decoder(SmallModel(tiny()), Target(model), Static((2, 2))).stream(PROMPTS[0], stop=Stop(9, tokens=()))
    next(stream)
    model.float()
    with pytest.raises(ModelChanged, match="use it in a new target"):
        next(stream)


@pytest.mark.parametrize("outside", [False, True], ids=["made inside", "made outside"])
def test_autocast(outside: bool) -> None:
    """Ragged rows, too; the text is that of the model in that precision, and the memory keeps its own."""
    model = build("llama", dtype=torch.float32)
    inside: AbstractContextManager[Any] = torch.autocast("cpu", torch.bfloat16)
    with nullcontext() if outside else inside:
        target = Target(model)
    with torch.autocast("cpu", torch.bfloat16):
        said = texts(target)
        expected = [
            model.generate(torch.tensor([one]), max_new_tokens=COUNT, do_sample=False)[0, len(one) :].tolist()
            for one in PROMPTS
        ]

    assert [list(one) for one in said] == expected
    assert target.engine.dtype == torch.float32
    assert texts(target) == texts(Target(model))


@pytest.fixture(params=["cpu", "disk"])
def offloaded(request: pytest.FixtureRequest) -> Iterator[PreTrainedModel]:
    model = build("llama")
    if request.param == "cpu":
        yield accelerate.cpu_offload(model, torch.device("cpu"))
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield accelerate.disk_offload(model, folder, torch.device("cpu"))


def test_weights_that_are_elsewhere_until_they_are_read(offloaded: PreTrainedModel) -> None:
    assert texts(Target(offloaded)) == plain()


class Adapted(nn.Module):
    """A model with an adapter, as PEFT wraps it."""

    def __init__(self, model: PreTrainedModel, *, prompt: bool) -> None:
        super().__init__()
        self.base_model = model
        self.peft_config = {"other": Adapter(not prompt), "mine": Adapter(prompt)}
        self.active_adapters = ["mine"]

    def get_base_model(self) -> PreTrainedModel:
        return self.base_model


class Adapter:
    def __init__(self, prompt: bool) -> None:
        self.is_prompt_learning = prompt


def test_adapters_inside_a_models_layers() -> None:
    model = build("llama")
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.add_(0.1)
    target = Target(Adapted(model, prompt=False))

    assert target.model is model
    assert texts(target) == texts(Target(model)) != plain()
    assert SmallModel(Adapted(model, prompt=False)).vocab_size == target.vocab_size


@pytest.mark.parametrize("use", [Target, SmallModel])
def test_learnt_tokens_before_each_text(use: Any) -> None:
    with pytest.raises(UnsupportedModel, match="such as LoRA, got Adapter, which reads learnt tokens"):
        use(Adapted(build("llama"), prompt=True))


@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
def test_real_adapters() -> None:
    peft = pytest.importorskip("peft")
    base = build("llama")
    model = peft.get_peft_model(base, peft.LoraConfig(target_modules=["q_proj", "v_proj"])).double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora" in name:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    ids = torch.tensor([PROMPTS[0]])
    expected = model.generate(input_ids=ids, do_sample=False, max_new_tokens=COUNT)[0, len(PROMPTS[0]) :]
    said = texts(Target(model))

    assert list(said[0]) == expected.tolist()
    assert said != plain()
    prompts = peft.get_peft_model(build("llama"), peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    with pytest.raises(UnsupportedModel, match="got PromptTuningConfig"):
        Target(prompts)
