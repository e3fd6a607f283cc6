"""What a transformers model must be like to read trees, and where its parts are."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from specdec.errors import UnsupportedModel
from specdec.target.attention import Attention
from specdec.target.cache import HeadShape

WINDOWS = {"full_attention", "sliding_attention"}


def refuse_unsupported(model: PreTrainedModel, attention: Attention) -> None:
    """Check that a model's cache can be cut to a prefix and that its attention can be told of trees.

    Raises:
        UnsupportedModel: the message says what the model does instead.
    """
    config, name = text_config(model), type(model).__name__
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedModel(f"expected a decoder-only model, got {name}, which has an encoder")
    others = set(layer_types(config)) - WINDOWS
    if getattr(model, "_is_stateful", False) or others:
        kind = ", ".join(sorted(others)) or "recurrent state"
        raise UnsupportedModel(
            f"expected a model whose cache can be cut to a prefix, got {name} with {kind}: "
            f"rejected tokens cannot be taken back out of it"
        )
    implementation, fit = getattr(config, "_attn_implementation", "eager"), attention.implementations
    if implementation not in fit:
        raise UnsupportedModel(
            f"expected attn_implementation {' or '.join(fit)}, which can be told of trees, got {implementation}; "
            f"load {name} with attn_implementation={fit[0]!r}"
        )
    alibi = getattr(config, "alibi", False) or getattr(config, "position_embedding_type", None) == "alibi"
    if alibi or "position_ids" not in inspect.signature(model.base_model.forward).parameters:
        raise UnsupportedModel(f"expected positions that can be given, got {name}, which counts columns (ALiBi)")
    if any(buffer.dtype == torch.bool and buffer.dim() == 4 for buffer in model.buffers()):
        raise UnsupportedModel(f"expected attention with no mask but the one given, got {name}, which keeps its own")


def text_config(model: PreTrainedModel) -> Any:
    """Give the config of the language part."""
    return model.config.get_text_config()


def layer_types(config: Any) -> list[str]:
    """Name each layer's kind of attention."""
    named = getattr(config, "layer_types", None)
    if named:
        return list(named)
    sliding = getattr(config, "sliding_window", None) is not None
    return ["sliding_attention" if sliding else "full_attention"] * int(config.num_hidden_layers)


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Find the model's list of layers, whatever it is called."""
    count = int(text_config(model).num_hidden_layers)
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise UnsupportedModel(f"expected a list of {count} layers in {type(model).__name__}, found none")


@contextmanager
def capture(
    model: PreTrainedModel, layers: Sequence[nn.Module], indices: Sequence[int]
) -> Iterator[dict[int, torch.Tensor]]:
    """Catch hidden states as they pass; index i enters layer i, the last leaves the norm."""
    captured: dict[int, torch.Tensor] = {}
    with ExitStack() as hooks:
        for index in indices:

            def enter(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], index: int = index) -> None:
                captured[index] = args[0] if args else kwargs["hidden_states"]

            def leave(_: Any, __: Any, output: Any, index: int = index) -> None:
                captured[index] = output[0]

            place = range(len(layers) + 1)[index]
            if place < len(layers):
                hook = layers[place].register_forward_pre_hook(enter, with_kwargs=True)
            else:
                hook = model.base_model.register_forward_hook(leave)
            hooks.callback(hook.remove)
        yield captured


def head_shapes(model: PreTrainedModel) -> list[HeadShape]:
    """Learn the shapes of keys and values from the reading of one token."""
    cache = DynamicCache()
    with torch.no_grad():
        model.base_model(
            torch.zeros(1, 1, dtype=torch.int64, device=model.device), past_key_values=cache, use_cache=True
        )
    parts = [part for layer in cache.layers for part in (getattr(layer, "keys", None), getattr(layer, "values", None))]
    layers = int(text_config(model).num_hidden_layers)
    if len(parts) != 2 * layers or not all(isinstance(part, torch.Tensor) and part.dim() == 4 for part in parts):
        raise UnsupportedModel(
            f"expected {type(model).__name__} to keep keys and values for each of its {layers} layers, "
            f"got {len(cache.layers)} layers in its cache"
        )
    return [(part.shape[1], part.shape[3]) for part in parts if part is not None]
