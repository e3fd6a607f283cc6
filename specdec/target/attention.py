"""Attention that reads each key head for all query heads that share it, in place of a copy for each."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "grouped_sdpa"
"""What transformers knows this attention by."""


def use_grouped(model: PreTrainedModel) -> None:
    """Let a model on a CPU that uses transformers' `sdpa` use this.

    What comes out is the same. Where it is given a mask, as for every tree, transformers copies the keys and values
    of all decided tokens in each pass, for on most GPUs the fast kernels ask for it.
    """
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    copies = attention_mask is not None and query.shape[2] > 1 and key.shape[1] < query.shape[1]
    other = any(others.get(name) is not None for name in ("position_bias", "softcap")) or query.requires_grad
    if other or not copies:
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
        return out, None
    out = scaled_dot_product_attention(query, key, value, attention_mask, dropout, scale=scaling, enable_gqa=True)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED, _attend)
AttentionMaskInterface.register(GROUPED, sdpa_mask)
