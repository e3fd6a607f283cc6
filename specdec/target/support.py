"""Where the parts of a transformers model are, and what it says of its layers."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock, get_ident
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from specdec.errors import UnsupportedModel
from specdec.target.tree_pass import Chunk, Window

_PASSES: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
_REGISTRY = RLock()


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


def layer_windows(config: Any) -> dict[str, Window | None]:
    """Say of each kind of layers how far back it sees.

    Raises:
        UnsupportedModel: there are layers of which that is not known.
    """
    sizes: dict[str, Window | None] = {
        "full_attention": None,
        "sliding_attention": getattr(config, "sliding_window", None),
        "chunked_attention": Chunk(getattr(config, "attention_chunk_size", None) or 0),
    }
    kinds = dict.fromkeys(layer_types(config))
    if unknown := [kind for kind in kinds if kind not in sizes]:
        raise UnsupportedModel(f"expected layers of {', '.join(sizes)}, got {', '.join(unknown)}")
    return {kind: sizes[kind] for kind in kinds}


@contextmanager
def exclusive(model: nn.Module) -> Iterator[None]:
    """Keep the passes of other threads from a model that several targets or drafters may share."""
    with _REGISTRY:
        lock = _PASSES.setdefault(model, RLock())
    with lock:
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while, if it is being trained."""
    training = [module for module in model.modules() if module.training] if model.training else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Find the language part's list of layers, whatever it is called."""
    count = getattr(text_config(model), "num_hidden_layers", None)
    for part in (language_part(model), model.base_model):
        for module in part.modules():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return list(module)
    raise UnsupportedModel(f"expected a list of {count} layers in {type(model).__name__}, found none")


def language_part(model: PreTrainedModel) -> Any:
    """Find the language part of a model that may have others, such as one for images."""
    decoder = model.get_decoder()
    return decoder if isinstance(decoder, nn.Module) else model.base_model


@contextmanager
def capture(
    model: PreTrainedModel, layers: Sequence[nn.Module], indices: Sequence[int]
) -> Iterator[dict[int, torch.Tensor]]:
    """Catch hidden states as they pass in this thread; index i enters layer i, the last leaves the norm."""
    captured, thread = dict[int, torch.Tensor](), get_ident()
    with ExitStack() as hooks:
        for index in indices:

            def enter(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], index: int = index) -> None:
                if get_ident() == thread:
                    captured[index] = args[0] if args else kwargs["hidden_states"]

            def leave(_: Any, __: Any, output: Any, index: int = index) -> None:
                if get_ident() == thread:
                    captured[index] = output[0]

            place = range(len(layers) + 1)[index]
            if place < len(layers):
                hook = layers[place].register_forward_pre_hook(enter, with_kwargs=True)
            else:
                hook = model.base_model.register_forward_hook(leave)
            hooks.callback(hook.remove)
        yield captured
