"""Tiny random models of any architecture that transformers knows, by shrinking its default configuration."""

import re
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCAB = 64
MOST = 20_000_000
"""Parameters, above which a model was not shrunk."""

SIZES = {
    r".*vocab.*": VOCAB,
    r"(num_)?(hidden_|decoder_|encoder_)?layers|n_layers?|num_hidden_layers|num_(en|de)coder_layers|depth": 2,
    r".*(num_key_value_heads|num_kv_heads)": 2,
    r".*(attention_heads|n_heads?|num_heads)": 4,
    r".*head_dim|d_kv|d_head|.*head_size": 8,
    r"(.*_)?hidden_size|d_model|n_embd|.*dim_model|.*emb(edding)?_(dim|size)|model_dim|projection_dim|output_dim": 32,
    r".*(intermediate_size|ffn_dim|ffn_hidden_size|moe_dim).*|d_ff|n_inner|dim_ff": 48,
    r"max_(target_|source_)?positions|max_position_embeddings|n_positions|n_ctx|max_seq_len": 128,
    r"(?!keep_).*window(_size)?|attention_chunk_size|local_attention": 7,
    r".*num_(local_|routed_)?experts|n_routed_experts|moe_num_experts": 4,
    r".*(experts_per_tok|experts_per_token|moe_top_?k|moe_k)": 2,
    r".*(q|kv)_lora_rank|.*_rank": 8,
    r"image_size": 28,
    r"patch_size": 14,
    r"rotary_dim": 4,
    r"bos_token_id": 1,
    r"eos_token_id": 2,
    r"pad_token_id|sep_token_id|decoder_start_token_id": 0,
}
"""What numbers of a configuration become, by their names."""


OPTIONS: dict[str, dict[str, Any]] = {
    "axk1": {"n_group": 1, "topk_group": 1},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "intermediate_size": [48] * 4,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gemma4_text": {
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"head_dim": 8, "qk_head_dim": 16},
    "mamba2": {"num_heads": 8},
    "reformer": {"axial_pos_embds": False},
    "zamba": {"num_hidden_layers": 3},
    "zamba2": {"num_hidden_layers": 54},
    "zaya": {"num_experts_per_tok": 1},
}
"""What else an architecture needs to be tiny."""


def tiny_config(kind: type[PreTrainedConfig], **options: Any) -> PreTrainedConfig:
    """Shrink the default configuration of a class, and the configurations inside it."""
    default = kind()
    fields: dict[str, Any] = {}
    for name, value in vars(default).items():
        if name in default.sub_configs and isinstance(value, PreTrainedConfig):
            fields[name] = tiny_config(type(value)).to_dict()
        elif _is_size(name, value) and (size := _shrunk(name)) is not None:
            fields[name] = size
    if default.is_encoder_decoder is False and hasattr(default, "is_decoder"):
        fields["is_decoder"] = True
    if "kv_lora_rank" in vars(default):  # the keys of all heads are made from one state
        fields["num_key_value_heads"] = 4
    if kinds := list(dict.fromkeys(vars(default).get("layer_types") or ())):
        fields["layer_types"] = kinds if len(kinds) > 1 else kinds * 2
        fields["num_hidden_layers"] = len(fields["layer_types"])
    return kind(**fields | OPTIONS.get(default.model_type, {}) | options)


def _is_size(name: str, value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole or name.endswith("_token_id") or (value is None and name in ("head_dim", "num_key_value_heads"))


def _shrunk(name: str) -> int | None:
    return next((size for pattern, size in SIZES.items() if re.fullmatch(pattern, name)), None)


def tiny_model(model_type: str, auto: Any = AutoModelForCausalLM, **options: Any) -> PreTrainedModel:
    """Build one, of an auto class, with weights so large that what it says depends on all that it has read.

    Raises:
        ValueError: it stays large.
    """
    config = tiny_config(CONFIG_MAPPING[model_type], **options)
    with torch.device("meta"):
        size = auto.from_config(config).num_parameters()
    if size > MOST:
        raise ValueError(f"expected at most {MOST:,} parameters, got {size:,}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = auto.from_config(config).float().eval().requires_grad_(False)
        for weight in model.parameters():
            noise = torch.randn_like(weight)
            weight.copy_(0.3 * noise if weight.dim() > 1 else weight + 0.1 * noise)
    model.generation_config.eos_token_id = None
    return model
