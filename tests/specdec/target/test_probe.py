"""A model is tried when its engine is made: whatever differs from what it says by itself is found and named."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    Gemma3TextConfig,
    Gemma4TextConfig,
    GemmaConfig,
    Llama4TextConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    SiglipVisionConfig,
)

from specdec import Decoder, Stop, Target
from specdec.drafters import NoDrafter
from specdec.errors import UnsupportedModel
from specdec.target import DenseMask, Engine, TreePass
from specdec.target.engine import Engine as Watched
from tests.toys import ARCHITECTURES, build, prompt, tiny

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
KINDS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16}
PER_LAYER = {"vocab_size_per_layer_input": 64, "hidden_size_per_layer_input": 8}
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}


def causal(config: PreTrainedConfig) -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(config)


def paligemma() -> PreTrainedModel:
    vision = SiglipVisionConfig(**VISION, image_size=28, patch_size=14)
    text = GemmaConfig(**GROUPED)
    return PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(text_config=text, vision_config=vision, image_token_index=1, projection_dim=32)
    )


def llama4(floor: int) -> PreTrainedModel:
    experts = {"intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": 8}
    layers = {"layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0]}
    return causal(Llama4TextConfig(**GROUPED, **experts, **layers, floor_scale=floor, attn_scale=1.0))


NOT_CAUSAL: dict[str, Callable[[], PreTrainedModel]] = {
    "prefix": paligemma,
    "gemma3": lambda: causal(Gemma3TextConfig(**GROUPED, **KINDS, use_bidirectional_attention=True)),
    "gemma4": lambda: causal(Gemma4TextConfig(**GROUPED, **KINDS, **PER_LAYER, use_bidirectional_attention="all")),
    "bert": lambda: causal(BertConfig(**SMALL)),
}
POSITIONS: dict[str, Callable[[], PreTrainedModel]] = {
    "roberta": lambda: causal(RobertaConfig(**SMALL, is_decoder=True)),
    "llama4": lambda: llama4(2),
}


def loud(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Give it weights so large that what it says depends on what it reads."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.data = 0.3 * torch.randn_like(weight)
    return model.to(dtype).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", NOT_CAUSAL)
def test_models_that_are_not_causal(kind: str, dtype: torch.dtype) -> None:
    with pytest.raises(UnsupportedModel, match="changes with the tokens that follow it"):
        Target(loud(NOT_CAUSAL[kind](), dtype))


@pytest.mark.parametrize("kind", POSITIONS)
def test_models_that_count_positions_themselves(kind: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"given its positions and a mask|in two chunks"):
        Target(loud(POSITIONS[kind](), torch.float64))


def test_an_attention_temperature_that_changes_later_limits_the_length() -> None:
    model = loud(llama4(40), torch.float32)
    target, ids = Target(model), torch.tensor([prompt(20)])
    plain = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=19)

    assert target.max_length == 39
    said = Decoder(NoDrafter(), target).generate(prompt(20), stop=Stop(19, tokens=()))
    assert said.tokens[0] == tuple(plain[0, 20:].tolist())


class Leaky(DenseMask):
    """Lets nodes see what they are not to see, or takes from them what they are."""

    def __init__(self, spoil: Callable[[TreePass, Tensor], Tensor]) -> None:
        self.spoil = spoil

    def mask(self, tree: TreePass, dtype: torch.dtype, window: Any) -> Tensor:
        return self.spoil(tree, super().mask(tree, dtype, window))


def siblings(tree: TreePass, mask: Tensor) -> Tensor:
    """Whatever comes before in memory is seen."""
    visible = torch.ones_like(tree.visible).tril(tree.visible.shape[2] - tree.visible.shape[1])
    return evolve(tree, visible=visible).mask(mask.dtype)


def forgetful(tree: TreePass, mask: Tensor) -> Tensor:
    """The first decided token is not seen."""
    return mask.index_fill(3, torch.tensor([0]), torch.finfo(mask.dtype).min) if max(tree.decided) else mask


def padded(tree: TreePass, mask: Tensor) -> Tensor:
    """The end of memory is seen as far as the longest row has filled it."""
    longest = max(tree.decided)
    mask[:, :, :, :longest] = 0
    return mask


FAULTS = {
    "siblings": (siblings, "path of a tree"),
    "forgetful": (forgetful, "in two chunks|path of a tree"),
    "padded": (padded, "in two chunks|path of a tree"),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_attention_that_is_wrong(kind: str, fault: str, dtype: torch.dtype) -> None:
    spoil, message = FAULTS[fault]

    class Wrong(Leaky):
        """One of its own for each case, for what has passed is not tried again."""

    with pytest.raises(UnsupportedModel, match=message):
        Engine(build(kind, dtype=dtype), Wrong(spoil))


def test_a_model_that_mixes_the_texts_of_a_batch() -> None:
    model = build("llama")
    model.model.layers[0].register_forward_hook(lambda _, __, out: out + 0.1 * out.mean((0, 1), keepdim=True))
    with pytest.raises(UnsupportedModel, match=r"tokens that follow it|beside a longer one|otherwise than by itself"):
        Engine(model)


@pytest.mark.parametrize("scale", [0.02, 0.4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", [*ARCHITECTURES, "mixtral"])
def test_rounding_is_no_difference(kind: str, dtype: torch.dtype, scale: float) -> None:
    experts = {"num_local_experts": 4} if kind == "mixtral" else {}
    for seed in range(3):
        Engine(build(kind, dtype=dtype, seed=seed, initializer_range=scale, **experts))


def test_a_token_that_is_no_number_hides_nothing() -> None:
    """Neither in the vocabulary nor in the output head."""
    for spoil in ("get_input_embeddings", "get_output_embeddings"):
        model = build("llama")
        getattr(model, spoil)().weight[7] = torch.nan
        Engine(model)

        class Wrong(Leaky):
            pass

        with pytest.raises(UnsupportedModel, match="path of a tree"):
            Engine(model, Wrong(siblings))


def test_a_model_is_tried_once_and_again_once_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    read = Watched.read

    def counted(self: Engine, *args: Any, **options: Any) -> Any:
        nonlocal passes
        passes += 1
        return read(self, *args, **options)

    monkeypatch.setattr(Watched, "read", counted)
    model, counts = build("llama"), []
    for change in (lambda: None, lambda: None, model.float, lambda: model.set_attn_implementation("eager")):
        change()
        passes = 0
        Engine(model)
        counts.append(passes)

    assert [count > 0 for count in counts] == [True, False, True, True]


def test_it_reads_little_and_leaves_no_trace() -> None:
    model, nodes = build("llama"), list[int]()
    model.register_forward_pre_hook(lambda *call: nodes.append(call[2]["input_ids"].numel()), with_kwargs=True)
    engine = Engine(model)

    assert 0 < sum(nodes) < 500
    assert engine.cache.nbytes == 0
    assert Engine(tiny()).cache.nbytes == 0
