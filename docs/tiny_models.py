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
    r".*vocab_size.*|n_vocab": VOCAB,
    r"(num_)?(hidden_|decoder_|encoder_)?layers|n_layers?|num_hidden_layers|num_(en|de)coder_layers|depth": 2,
    r".*(num_key_value_heads|num_kv_heads)": 2,
    r".*(attention_heads|n_heads?|num_heads)": 4,
    r".*head_dim|d_kv|d_head|.*head_size": 8,
    r"(.*_)?hidden_size|d_model|n_embd|.*dim_model|.*emb(edding)?_(dim|size)|model_dim|projection_dim|output_dim": 32,
    r".*(intermediate_size|ffn_dim|ffn_hidden_size|moe_dim).*|d_ff|n_inner|dim_ff": 48,
    r"max_(target_|source_)?positions|max_position_embeddings|n_positions|n_ctx|max_seq_len": 128,
    r".*window(_size)?|attention_chunk_size|local_attention": 7,
    r".*num_(local_|routed_)?experts|n_routed_experts|moe_num_experts": 4,
    r".*(experts_per_tok|experts_per_token|moe_top_?k|moe_k)": 2,
    r".*(q|kv)_lora_rank|.*_rank": 8,
    r"image_size": 28,
    r"patch_size": 14,
    r"bos_token_id": 1,
    r"eos_token_id": 2,
    r"pad_token_id|sep_token_id|decoder_start_token_id": 0,
}
"""What numbers of a configuration become, by their names."""


def tiny_config(kind: type[PreTrainedConfig], **options: Any) -> PreTrainedConfig:
    """Shrink the default configuration of a class, and the configurations inside it."""
    default, fields = kind(), {}
    for name, value in vars(default).items():
        if name in default.sub_configs and isinstance(value, PreTrainedConfig):
            fields[name] = tiny_config(type(value)).to_dict()
        elif (isinstance(value, int) and not isinstance(value, bool)) or name.endswith("_token_id"):
            fields |= {name: size for pattern, size in SIZES.items() if re.fullmatch(pattern, name)}
    if hasattr(default, "is_decoder") and not default.is_encoder_decoder:
        fields["is_decoder"] = True
    if hasattr(default, "kv_lora_rank"):  # keys of all heads are made from one state
        fields["num_key_value_heads"] = fields["num_attention_heads"]
    return kind(**fields | options)


def tiny_model(model_type: str, **options: Any) -> PreTrainedModel:
    """Build one with weights so large that what it says depends on all that it has read.

    Raises:
        ValueError: it stays large.
    """
    config = tiny_config(CONFIG_MAPPING[model_type], **options)
    with torch.device("meta"):
        size = AutoModelForCausalLM.from_config(config).num_parameters()
    if size > MOST:
        raise ValueError(f"expected at most {MOST:,} parameters, got {size:,}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).float().eval().requires_grad_(False)
        for weight in model.parameters():
            noise = torch.randn_like(weight)
            weight.copy_(0.3 * noise if weight.dim() > 1 else weight + 0.1 * noise)
    model.generation_config.eos_token_id = None
    return model
