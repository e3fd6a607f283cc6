"""Heads on disk, in any format of `specdec_eagle.formats`; both kinds take their sizes from the tensors."""

from dataclasses import fields as fields_of
from os import PathLike
from typing import Any, TypeVar

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from specdec import WrongCheckpoint
from specdec.heads import Checkpoint, TargetParts, check_made_for, fingerprint
from specdec_eagle.config import feature_layers
from specdec_eagle.formats import plain
from specdec_eagle.model import EagleModel
from specdec_eagle.model3 import Eagle3Model

NAMED = ("vocab_size", "hidden_size", "intermediate_size", "num_key_value_heads", "head_dim", "draft_vocab_size")
"""Sizes in which a configuration must agree with the tensors, if it names them."""
Head = TypeVar("Head", EagleModel, Eagle3Model)


def load(
    kind: type[Head], path: str | PathLike[str], parts: TargetParts, tokenizer: PreTrainedTokenizerBase | None = None
) -> Head:
    """Read a head from a folder or the hub, for the target whose parts these are.

    Raises:
        WrongCheckpoint: the file is damaged, is no such head, or was made for another target.
    """
    checkpoint = plain(Checkpoint.read(path))
    with checkpoint.interpreted():
        layer = _layer(kind, checkpoint)
        sizes = _sizes(checkpoint, layer, parts.config)
        if kind is Eagle3Model:
            sizes |= _sizes3(checkpoint, parts.config)
        else:
            sizes["input_layernorm"] = f"{layer}input_layernorm.weight" in checkpoint.tensors
        whole = int(checkpoint.fields.get("vocab_size", parts.config.vocab_size))
        drafted = checkpoint.shape("lm_head.weight")[0] if kind is Eagle3Model else None
        sizes["draft_vocab_size"] = checkpoint.settle_vocabulary(whole, drafted)
        checkpoint.check_fields({name: sizes[name] for name in NAMED if name in sizes})
        _check_target(checkpoint, sizes, parts.config, tokenizer)
        if "embed_tokens.weight" in checkpoint.tensors and _is_targets(checkpoint, parts, refuse=kind is EagleModel):
            del checkpoint.tensors["embed_tokens.weight"]
            sizes["own_embedding"] = False
        model = kind(_config(kind, checkpoint.fields, sizes, parts.config))
    checkpoint.load_into(model)
    return model


def _layer(kind: type[Head], checkpoint: Checkpoint) -> str:
    """Find the name of the layer."""
    names: dict[Any, str] = {EagleModel: "layers.0.", Eagle3Model: "midlayer."}
    present = [name for name in names.values() if any(key.startswith(name) for key in checkpoint.tensors)]
    if names[kind] not in present:
        what = "an EAGLE-3 head" if kind is Eagle3Model else "an EAGLE-1/2 head"
        raise WrongCheckpoint(
            f"expected {what}, with tensors {names[kind]}*, in {checkpoint.path}, got {', '.join(present) or 'none'}"
        )
    return names[kind]


def _sizes(checkpoint: Checkpoint, layer: str, target: PreTrainedConfig) -> dict[str, Any]:
    tensors = checkpoint.tensors
    heads = int(checkpoint.fields.get("num_attention_heads") or target.num_attention_heads)
    queries = checkpoint.shape(f"{layer}self_attn.q_proj.weight")[0]
    size = queries // heads
    if size * heads != queries:
        raise WrongCheckpoint(f"expected queries of {heads} heads in {checkpoint.path}, got {queries} numbers")
    vocabulary = checkpoint.fields.get("vocab_size", target.vocab_size)
    if "t2d" in tensors:
        vocabulary = len(tensors["t2d"])
    if "embed_tokens.weight" in tensors:
        vocabulary = checkpoint.shape("embed_tokens.weight")[0]
    return {
        "vocab_size": vocabulary,
        "hidden_size": checkpoint.shape("fc.weight")[0],
        "intermediate_size": checkpoint.shape(f"{layer}mlp.gate_proj.weight")[0],
        "num_attention_heads": heads,
        "num_key_value_heads": checkpoint.shape(f"{layer}self_attn.k_proj.weight")[0] // size,
        "head_dim": size,
        "bias": "fc.bias" in tensors,
        "qkv_bias": f"{layer}self_attn.q_proj.bias" in tensors,
        "qk_norm": f"{layer}self_attn.q_norm.weight" in tensors,
    }


def _sizes3(checkpoint: Checkpoint, target: PreTrainedConfig) -> dict[str, Any]:
    fields, path = checkpoint.fields, checkpoint.path
    layers = fields.get("eagle_aux_hidden_state_layer_ids") or feature_layers(target.num_hidden_layers)
    states = range(int(target.num_hidden_layers) + 1)
    if any(not -len(states) <= int(index) < len(states) for index in layers):
        raise WrongCheckpoint(f"expected {path} to read of the target's states 0 to {states[-1]}, got {list(layers)}")
    return {
        "eagle_aux_hidden_state_layer_ids": [states[int(index)] for index in layers],
        "target_hidden_size": checkpoint.shape("fc.weight")[1] // len(layers),
        "norm_before_fc": "input_norm.weight" in checkpoint.tensors,
        "own_embedding": "embed_tokens.weight" in checkpoint.tensors,
    }


def _check_target(
    checkpoint: Checkpoint,
    sizes: dict[str, Any],
    target: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase | None,
) -> None:
    width = sizes.get("target_hidden_size", sizes["hidden_size"])
    made_for = {"hidden_size": width, "vocab_size": sizes["vocab_size"], **(checkpoint.fields.get("target") or {})}
    check_made_for(made_for, fingerprint(target, tokenizer), checkpoint.path)
    if sizes["hidden_size"] != width and not sizes.get("own_embedding"):
        raise WrongCheckpoint(
            f"expected an embedding in {checkpoint.path}, for its hidden_size {sizes['hidden_size']} is not its "
            f"target's {width}; got none"
        )


def _is_targets(checkpoint: Checkpoint, parts: TargetParts, *, refuse: bool) -> bool:
    """Whether an embedding is the target's, but for rounding to half precision."""
    own, weight = checkpoint.tensors["embed_tokens.weight"], parts.embed.weight
    weight = weight.detach().to("cpu", torch.float32)  # type: ignore[operator]
    same = own.shape == weight.shape and torch.allclose(own.float(), weight, rtol=1e-2, atol=1e-4)
    if not same and refuse:
        raise WrongCheckpoint(
            f"expected embed_tokens.weight in {checkpoint.path} to be the target's embedding, got another: "
            f"the head was made for another target"
        )
    return same


def _config(kind: type[Head], fields: dict[str, Any], sizes: dict[str, Any], target: PreTrainedConfig) -> Any:
    config: Any = kind.config_class
    known = {field.name for field in fields_of(config)} | {"rope_theta", "rope_scaling"}
    unlike = {"architectures", "attention_bias", "mlp_bias", "num_hidden_layers", "dtype", "transformers_version"}
    if "rope_parameters" in fields:
        unlike |= {"rope_theta", "rope_scaling"}
    own = {name: value for name, value in fields.items() if name in known - unlike}
    defaults = {"max_position_embeddings": target.max_position_embeddings, "rms_norm_eps": target.rms_norm_eps}
    return config(**{**defaults, **own, **sizes})
