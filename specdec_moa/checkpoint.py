"""Heads on disk: the published format, read with suspicion.

A folder holds `config.json` and `model.safetensors`. Sizes are taken from the tensors themselves, for published
configurations do not all name them; what a configuration does name must agree.
"""

from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from specdec.drafters.borrowed import check_made_for, fingerprint
from specdec.drafters.files import find, read_fields
from specdec.errors import WrongCheckpoint
from specdec_moa.config import BLOCKS, MoAConfig
from specdec_moa.model import MoAModel
from specdec_moa.weights import WEIGHTS

Shapes = dict[str, tuple[int, ...]]
CONFIG = "config.json"


def load(path: str, target: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None = None) -> MoAModel:
    """Read a head from a folder or the hub, for this target.

    Raises:
        WrongCheckpoint: the file is damaged, is no such head, or was made for another target.
    """
    fields, weights = read_fields(find(path, CONFIG)), find(path, WEIGHTS)
    try:
        with safe_open(weights, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            config = _config(fields, shapes, target, str(weights))
            check_target(config, target, tokenizer, path)
            model = MoAModel(config)
            _check_shapes(shapes, model, str(weights))
            model.load_state_dict({name: file.get_tensor(name) for name in shapes})
    except (SafetensorError, OSError) as error:
        raise WrongCheckpoint(f"expected {weights} to be a whole safetensors file, got: {error}") from error
    return model


def check_target(
    config: MoAConfig, target: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None = None, path: str = "head"
) -> None:
    """Check that a head was made for this target, as far as either says.

    Raises:
        WrongCheckpoint: the message says in what they differ.
    """
    size = getattr(target, "head_dim", None) or target.hidden_size // target.num_attention_heads
    found = {
        **fingerprint(target, tokenizer),
        "head_dim": size,
        "kv_hidden_size": 2 * target.num_key_value_heads * size,
    }
    made_for = {"hidden_size": config.hidden_size, "head_dim": config.head_dim, "vocab_size": config.vocab_size}
    if not config.disable_LSA:
        made_for["kv_hidden_size"] = config.kv_hidden_size
    check_made_for({**made_for, **(config.target or {})}, found, path)


def _config(fields: dict[str, Any], shapes: Shapes, target: PreTrainedConfig, path: str) -> MoAConfig:
    """Put together what the tensors say, what the configuration says, and what only the target can say."""
    sizes = _sizes(fields, shapes, target, path)
    given = fields if fields.get("model_type") == MoAConfig.model_type else {}
    for name, size in sizes.items():
        if given.get(name, size) != size:
            raise WrongCheckpoint(
                f"expected tensors in {path} of {name} {given[name]} as its {CONFIG} says, got {size}"
            )
    borrowed = {
        "vocab_size": target.vocab_size,
        "rope_parameters": dict(target.rope_parameters),
        "max_position_embeddings": target.max_position_embeddings,
        "rms_norm_eps": target.rms_norm_eps,
        "hidden_act": target.hidden_act,
    }
    if "rope_theta" in given:
        del borrowed["rope_parameters"]
    return MoAConfig(**{**borrowed, **given, **sizes})


def _sizes(fields: dict[str, Any], shapes: Shapes, target: PreTrainedConfig, path: str) -> dict[str, Any]:
    heads = int(fields.get("num_attention_heads") or target.num_attention_heads)
    bare = not any(name.startswith("layer_self_attention.") for name in shapes)
    attended, hidden = _shape(shapes, "self_attention.self_attn.q_proj.weight", path)
    sizes: dict[str, Any] = {
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "head_dim": attended // heads,
        "disable_LSA": bare,
        "attention_bias": "self_attention.self_attn.q_proj.bias" in shapes,
    }
    if not bare:
        sizes["kv_hidden_size"] = _shape(shapes, "layer_self_attention.self_attn.q_proj.weight", path)[1]
    for block in BLOCKS[: 2 if bare else 3]:
        size = sizes["head_dim"]
        if block == "layer_self_attention":
            own = int(fields.get("layer_self_attention_num_attention_heads") or heads)
            size = _shape(shapes, f"{block}.self_attn.q_proj.weight", path)[0] // own
            sizes["layer_self_attention_head_dim"] = size
        sizes[f"{block}_num_key_value_heads"] = _shape(shapes, f"{block}.self_attn.k_proj.weight", path)[0] // size
        sizes[f"{block}_intermediate_size"] = _shape(shapes, f"{block}.mlp.gate_proj.weight", path)[0]
    return sizes


def _shape(shapes: Shapes, name: str, path: str) -> tuple[int, ...]:
    if name not in shapes or len(shapes[name]) != 2:
        raise WrongCheckpoint(f"expected a matrix {name} in {path}, got {shapes.get(name, 'none')}")
    return shapes[name]


def _check_shapes(shapes: Shapes, model: MoAModel, path: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise WrongCheckpoint(
                f"expected {name} in {path} to be {expected.get(name, 'absent')}, got {shapes.get(name, 'none')}"
            )
