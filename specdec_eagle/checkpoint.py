"""Heads on disk: sizes are taken from the tensors, and what a configuration says of these must agree.

`config.json` stands beside `model.safetensors` or `pytorch_model.bin`, in a format of `specdec_eagle.formats`.
"""

from dataclasses import fields as fields_of
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from specdec.drafters.borrowed import Borrowed, check_made_for, fingerprint
from specdec.drafters.files import find, read_fields, read_tensors
from specdec.errors import WrongCheckpoint
from specdec_eagle.config import feature_layers
from specdec_eagle.formats import plain
from specdec_eagle.model import EagleHead, EagleModel
from specdec_eagle.model3 import Eagle3Model

CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
SAID = ("vocab_size", "hidden_size", "intermediate_size", "num_key_value_heads", "head_dim", "draft_vocab_size")
"""What a configuration must agree in with the tensors, if it says so."""
Head = TypeVar("Head", EagleModel, Eagle3Model)
Tensors = dict[str, Tensor]


def load(kind: type[Head], path: str, parts: Borrowed, tokenizer: PreTrainedTokenizerBase | None = None) -> Head:
    """Read a head from a folder or the hub, for the target whose parts these are.

    Raises:
        WrongCheckpoint: the file is damaged, is no such head, or was made for another target.
    """
    given, file = read_fields(find(path, CONFIG)), find(path, *WEIGHTS)
    fields, tensors = plain(given, read_tensors(file), path)
    layer = _layer(kind, tensors, str(file))
    sizes = _sizes(fields, tensors, layer, parts.config, str(file))
    if kind is Eagle3Model:
        sizes |= _sizes3(fields, tensors, parts.config, str(file))
    else:
        sizes["input_layernorm"] = f"{layer}input_layernorm.weight" in tensors
    _check_said(fields, sizes, str(file))
    _check_target(fields, sizes, parts.config, tokenizer, path)
    if "embed_tokens.weight" in tensors and _is_targets(tensors, parts, path, refuse=kind is EagleModel):
        del tensors["embed_tokens.weight"]
        sizes["own_embedding"] = False
    model = kind(_config(kind, fields, sizes, parts.config))
    _check_shapes(tensors, model, str(file))
    model.load_state_dict(tensors)
    return model


def _layer(kind: type[EagleHead], tensors: Tensors, path: str) -> str:
    """Say under which name the layer goes."""
    names = {EagleModel: "layers.0.", Eagle3Model: "midlayer."}
    found = [name for name in names.values() if any(key.startswith(name) for key in tensors)]
    if names[kind] not in found:
        what = "an EAGLE-3 head" if kind is Eagle3Model else "an EAGLE-1/2 head"
        raise WrongCheckpoint(
            f"expected {what}, with tensors {names[kind]}*, in {path}, got {', '.join(found) or 'none'}"
        )
    return names[kind]


def _sizes(fields: dict[str, Any], tensors: Tensors, layer: str, target: PreTrainedConfig, path: str) -> dict[str, Any]:
    heads = int(fields.get("num_attention_heads") or target.num_attention_heads)
    attended = _shape(tensors, f"{layer}self_attn.q_proj.weight", path)[0]
    size = attended // heads
    if size * heads != attended:
        raise WrongCheckpoint(f"expected queries of {heads} heads in {path}, got {attended} numbers")
    vocabulary = fields.get("vocab_size", target.vocab_size)
    if "t2d" in tensors:
        vocabulary = len(tensors["t2d"])
    if "embed_tokens.weight" in tensors:
        vocabulary = _shape(tensors, "embed_tokens.weight", path)[0]
    return {
        "vocab_size": vocabulary,
        "hidden_size": _shape(tensors, "fc.weight", path)[0],
        "intermediate_size": _shape(tensors, f"{layer}mlp.gate_proj.weight", path)[0],
        "num_attention_heads": heads,
        "num_key_value_heads": _shape(tensors, f"{layer}self_attn.k_proj.weight", path)[0] // size,
        "head_dim": size,
        "bias": "fc.bias" in tensors,
        "qkv_bias": f"{layer}self_attn.q_proj.bias" in tensors,
        "qk_norm": f"{layer}self_attn.q_norm.weight" in tensors,
    }


def _sizes3(fields: dict[str, Any], tensors: Tensors, target: PreTrainedConfig, path: str) -> dict[str, Any]:
    layers = fields.get("eagle_aux_hidden_state_layer_ids") or feature_layers(target.num_hidden_layers)
    states = range(int(target.num_hidden_layers) + 1)
    if any(not -len(states) <= int(index) < len(states) for index in layers):
        raise WrongCheckpoint(f"expected {path} to read of the target's states 0 to {states[-1]}, got {list(layers)}")
    sizes: dict[str, Any] = {
        "eagle_aux_hidden_state_layer_ids": [states[int(index)] for index in layers],
        "draft_vocab_size": _shape(tensors, "lm_head.weight", path)[0],
        "target_hidden_size": _shape(tensors, "fc.weight", path)[1] // len(layers),
        "norm_before_fc": "input_norm.weight" in tensors,
        "own_embedding": "embed_tokens.weight" in tensors,
    }
    _settle_vocabulary(tensors, sizes["draft_vocab_size"], int(fields.get("vocab_size", target.vocab_size)), path)
    return sizes


def _settle_vocabulary(tensors: Tensors, drafted: int, whole: int, path: str) -> None:
    """Check that both maps of the draft vocabulary say the same, or leave them out where it is the target's."""
    offsets, chosen = tensors.get("d2t"), tensors.get("t2d")
    if drafted == (whole if chosen is None else len(chosen)):
        tensors.pop("d2t", None)
        tensors.pop("t2d", None)
        return
    if offsets is None or offsets.shape != (drafted,):
        raise WrongCheckpoint(
            f"expected d2t in {path} for {drafted} tokens, got {'none' if offsets is None else tuple(offsets.shape)}"
        )
    tokens = torch.arange(drafted) + offsets
    if chosen is None:
        if not 0 <= int(tokens.min()) <= int(tokens.max()) < whole:
            raise WrongCheckpoint(f"expected d2t in {path} to lead to tokens below {whole}, got {int(tokens.max())}")
        chosen = tensors["t2d"] = torch.zeros(whole, dtype=torch.bool)
        chosen[tokens] = True
    listed = chosen.nonzero()[:, 0]
    if not torch.equal(listed, tokens.sort().values):
        raise WrongCheckpoint(f"expected d2t and t2d in {path} to name the same tokens, got different ones")


def _check_said(fields: dict[str, Any], sizes: dict[str, Any], path: str) -> None:
    for name in SAID:
        said = fields.get(name)
        if said is not None and name in sizes and said != sizes[name]:
            raise WrongCheckpoint(
                f"expected tensors in {path} of {name} {said} as its {CONFIG} says, got {sizes[name]}"
            )


def _check_target(
    fields: dict[str, Any],
    sizes: dict[str, Any],
    target: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase | None,
    path: str,
) -> None:
    width = sizes.get("target_hidden_size", sizes["hidden_size"])
    made_for = {"hidden_size": width, "vocab_size": sizes["vocab_size"], **(fields.get("target") or {})}
    check_made_for(made_for, fingerprint(target, tokenizer), path)
    if sizes["hidden_size"] != width and not sizes.get("own_embedding"):
        raise WrongCheckpoint(
            f"expected an embedding in {path}, for its hidden_size {sizes['hidden_size']} is not its target's {width}; "
            f"got none"
        )


def _is_targets(tensors: Tensors, parts: Borrowed, path: str, *, refuse: bool) -> bool:
    """Say whether an embedding is the target's, but for rounding to half precision."""
    own, weight = tensors["embed_tokens.weight"], parts.embed.weight
    weight = weight.detach().to("cpu", torch.float32)  # type: ignore[operator]
    same = own.shape == weight.shape and torch.allclose(own.float(), weight, rtol=1e-2, atol=1e-4)
    if not same and refuse:
        raise WrongCheckpoint(
            f"expected embed_tokens.weight in {path} to be the target's embedding, got another: "
            f"the head was made for another target"
        )
    return same


def _config(kind: type[EagleHead], fields: dict[str, Any], sizes: dict[str, Any], target: PreTrainedConfig) -> Any:
    config: Any = kind.config_class
    known = {field.name for field in fields_of(config)} | {"rope_theta", "rope_scaling"}
    unlike = {"architectures", "attention_bias", "mlp_bias", "num_hidden_layers", "dtype", "transformers_version"}
    given = {name: value for name, value in fields.items() if name in known - unlike}
    if "rope_parameters" in given:
        given = {name: value for name, value in given.items() if name not in ("rope_theta", "rope_scaling")}
    borrowed = {"max_position_embeddings": target.max_position_embeddings, "rms_norm_eps": target.rms_norm_eps}
    return config(**{**borrowed, **given, **sizes})


def _shape(tensors: Tensors, name: str, path: str) -> torch.Size:
    if name not in tensors or tensors[name].dim() != 2:
        found = tuple(tensors[name].shape) if name in tensors else "none"
        raise WrongCheckpoint(f"expected a matrix {name} in {path}, got {found}")
    return tensors[name].shape


def _check_shapes(tensors: Tensors, model: EagleHead, path: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise WrongCheckpoint(
                f"expected {name} in {path} to be {expected.get(name, 'absent')}, got {found.get(name, 'none')}"
            )
