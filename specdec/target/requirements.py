"""What a transformers model must be like to read trees, as far as it says so itself."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from specdec.errors import UnsupportedModel
from specdec.target.attention import Attention
from specdec.target.cache import NOTHING, HeadShape
from specdec.target.support import evaluating, text_config

STATES = ("conv_states", "recurrent_states", "indexer_keys")
"""What transformers' caches hold besides keys and values."""


def unwrapped(model: Any) -> PreTrainedModel:
    """Take a model out of what PEFT wraps around it; adapters inside its layers stay active.

    Raises:
        UnsupportedModel: it is no model of transformers, or is given learnt tokens or keys before each text.
    """
    if hasattr(model, "get_base_model") and hasattr(model, "peft_config"):
        for adapter in getattr(model, "active_adapters", model.peft_config):
            peft = model.peft_config[adapter]
            if getattr(peft, "is_prompt_learning", False):
                raise UnsupportedModel(
                    f"expected adapters inside a model's layers, such as LoRA, got {type(peft).__name__}, "
                    f"which reads learnt tokens before each text"
                )
        model = model.get_base_model()
    if not isinstance(model, PreTrainedModel):
        raise UnsupportedModel(f"expected a causal language model of transformers, got {type(model).__name__}")
    return model


def refuse_unsupported(model: PreTrainedModel, attention: Attention) -> None:
    """Check what a model says of itself; the rest is found by reading, as `check_reading` does.

    Raises:
        UnsupportedModel: the message says what the model does instead.
    """
    config, name = text_config(model), type(model).__name__
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedModel(f"expected a decoder-only model, got {name}, which has an encoder")
    if model.get_output_embeddings() is None:
        raise UnsupportedModel(f"expected a causal language model, got {name}, which has no output head")
    for number, layer in enumerate(_cache_layers(model)):
        if others := [kind for kind in STATES if hasattr(layer, kind)]:
            raise UnsupportedModel(
                f"expected a model that stores keys and values alone, got {name} with {', '.join(others)} in layer "
                f"{number}: rejected tokens cannot be taken back out of them"
            )
    implementation, fit = getattr(config, "_attn_implementation", "eager"), attention.implementations
    if implementation not in fit:
        raise UnsupportedModel(
            f"expected attn_implementation {' or '.join(fit)}, which accepts a mask of a tree, got {implementation}; "
            f"load {name} with attn_implementation={fit[0]!r}"
        )
    masks = [buffer for buffer in model.buffers() if buffer.dtype == torch.bool and buffer.dim() == 4]
    if not all(mask.equal(mask.new_ones(mask.shape).tril()) for mask in masks):
        raise UnsupportedModel(f"expected layers without masks of their own but causal ones, got {name} with others")
    offloaded = any(hasattr(module, "_hf_hook") for module in model.modules())
    if not offloaded and any(parameter.is_meta for parameter in model.parameters()):
        raise UnsupportedModel(f"expected a model with weights, got {name} on the meta device")


def first_reading(model: PreTrainedModel) -> tuple[list[HeadShape], torch.dtype, torch.device]:
    """Learn from the reading of one token which keys and values each layer stores, their type, and where they are.

    Layers that store none, since they use those of others, have the shape `NOTHING`.

    Raises:
        UnsupportedModel: the model stores something else, cannot be read, or is on several devices.
    """
    name, cache = type(model).__name__, DynamicCache()
    device = torch.device("cpu") if model.device.type == "meta" else model.device
    token = torch.zeros(1, 1, dtype=torch.int64, device=device)
    with readable(name), torch.no_grad(), evaluating(model), torch.autocast(device.type, enabled=False):
        model.base_model(token, past_key_values=cache, use_cache=True)
    pairs = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in cache.layers]
    stored: list[Tensor] = [part for pair in pairs for part in pair if part is not None]
    if not stored or any(part.dim() != 4 for part in stored):
        raise UnsupportedModel(f"expected {name} to store keys and values of its layers in its cache, got none")
    if len({part.device for part in stored}) > 1:
        raise UnsupportedModel(f"expected all layers of {name} on one device, got {sorted({*map(_device, stored)})}")
    if "position_ids" not in inspect.signature(model.base_model.forward).parameters:
        raise UnsupportedModel(f"expected a model that takes position_ids, got {name}, which counts them itself")
    pairs += [(None, None)] * (len(_cache_layers(model)) - len(pairs))
    shapes = [NOTHING if part is None else (part.shape[1], part.shape[3]) for pair in pairs for part in pair]
    return shapes, stored[0].dtype, stored[0].device


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Say that a model cannot be read, whatever it raises but for a lack of memory."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        raise UnsupportedModel(
            f"expected a model that can be given trees, got {name}, which raised {reason}"
        ) from error


def _device(tensor: Tensor) -> str:
    return str(tensor.device)


def _cache_layers(model: PreTrainedModel) -> list[Any]:
    """Make what the model's own cache would store of each layer."""
    with readable(type(model).__name__):
        return list(DynamicCache(config=model.config).layers)
