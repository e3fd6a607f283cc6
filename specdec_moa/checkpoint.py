"""Heads on disk, in the published format: a folder with `config.json` and `model.safetensors`."""

from typing import Any

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from specdec import WrongCheckpoint
from specdec.heads import Checkpoint, check_made_for, fingerprint
from specdec_moa.config import BLOCKS, MoAConfig
from specdec_moa.model import MoAModel


def load(path: str, target: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None = None) -> MoAModel:
    """Read a head from a folder or the hub, for this target.

    Raises:
        WrongCheckpoint: the file is damaged, is no such head, or was made for another target.
    """
    checkpoint = Checkpoint.read(path)
    with checkpoint.interpreted():
        config = _config(checkpoint, target)
        _check_target(config, target, tokenizer, path)
        model = MoAModel(config)
    checkpoint.load_into(model)
    return model


def _check_target(
    config: MoAConfig, target: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None, path: str
) -> None:
    size = getattr(target, "head_dim", None) or target.hidden_size // target.num_attention_heads
    actual = {
        **fingerprint(target, tokenizer),
        "head_dim": size,
        "kv_hidden_size": 2 * target.num_key_value_heads * size,
    }
    made_for = {"hidden_size": config.hidden_size, "head_dim": config.head_dim, "vocab_size": config.vocab_size}
    if not config.disable_LSA:
        made_for["kv_hidden_size"] = config.kv_hidden_size
    check_made_for({**made_for, **(config.target or {})}, actual, path)


def _config(checkpoint: Checkpoint, target: PreTrainedConfig) -> MoAConfig:
    """Put together what the tensors say, what the configuration says, and what only the target can say."""
    sizes = _sizes(checkpoint, target)
    fields: dict[str, Any] = {}
    if checkpoint.fields.get("model_type") == MoAConfig.model_type:  # else it is the target's own
        checkpoint.check_fields(sizes)
        fields = checkpoint.fields
        if not isinstance(layers := fields.get("target_layer_inference", 0), int):
            raise WrongCheckpoint(
                f"expected a number as target_layer_inference in config.json in {checkpoint.path}, got {layers!r}"
            )
    defaults = {
        "vocab_size": target.vocab_size,
        "rope_parameters": dict(target.rope_parameters),
        "max_position_embeddings": target.max_position_embeddings,
        "rms_norm_eps": target.rms_norm_eps,
        "hidden_act": target.hidden_act,
    }
    if "rope_theta" in fields:
        del defaults["rope_parameters"]
    return MoAConfig(**{**defaults, **fields, **sizes})


def _sizes(checkpoint: Checkpoint, target: PreTrainedConfig) -> dict[str, Any]:
    """Work out sizes from the tensors: published configurations do not name them all."""
    heads = int(checkpoint.fields.get("num_attention_heads") or target.num_attention_heads)
    layer_heads = int(checkpoint.fields.get("layer_self_attention_num_attention_heads") or heads)
    queries, hidden = checkpoint.shape("self_attention.self_attn.q_proj.weight")
    if queries % heads:
        raise WrongCheckpoint(f"expected queries of {heads} heads in {checkpoint.path}, got {queries} numbers")
    without_lsa = not any(name.startswith("layer_self_attention.") for name in checkpoint.tensors)
    sizes: dict[str, Any] = {
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "head_dim": queries // heads,
        "disable_LSA": without_lsa,
        "attention_bias": "self_attention.self_attn.q_proj.bias" in checkpoint.tensors,
        "draft_vocab_size": checkpoint.settle_vocabulary(int(checkpoint.fields.get("vocab_size", target.vocab_size))),
    }
    head_dims = dict.fromkeys(BLOCKS[:2], queries // heads)
    if not without_lsa:
        layer_queries, sizes["kv_hidden_size"] = checkpoint.shape("layer_self_attention.self_attn.q_proj.weight")
        sizes["layer_self_attention_head_dim"] = head_dims[BLOCKS[2]] = layer_queries // layer_heads
    for block, head_dim in head_dims.items():
        keys, _ = checkpoint.shape(f"{block}.self_attn.k_proj.weight")
        sizes[f"{block}_num_key_value_heads"] = keys // head_dim
        sizes[f"{block}_intermediate_size"] = checkpoint.shape(f"{block}.mlp.gate_proj.weight")[0]
    return sizes
