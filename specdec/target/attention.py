"""How a model's attention learns what each node may see, and one that reads each key head for all that share it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from specdec.target.tree_pass import TreePass, Window

GROUPED = "grouped_sdpa"
"""What transformers knows the attention by that `use_grouped` chooses."""


class Attention(ABC):
    """Turns a pass over trees into what the attention of a model's layers is given of it."""

    implementations: ClassVar[tuple[str, ...]]
    """The `attn_implementation`s of transformers that understand it, the usual one first.

    Without a mask, as when an engine looks at a new model, they are causal.
    """
    finds_slots: ClassVar[bool] = False
    """Whether layers are given the keys and values of all slots, and find the pass's own by `TreePass.slots`."""

    @abstractmethod
    def mask(self, tree: TreePass, dtype: torch.dtype, window: Window | None) -> Any:
        """Build the `attention_mask` of the layers with this sliding window, or with none.

        Transformers hands a tensor of four dimensions to the layers as it is.
        """


class DenseMask(Attention):
    """Adds a mask of every node and column: what any model understands."""

    implementations = ("sdpa", "eager", GROUPED)

    def mask(self, tree: TreePass, dtype: torch.dtype, window: Window | None) -> Tensor:
        return tree.mask(dtype, window)


def use_grouped(model: PreTrainedModel) -> None:
    """Switch a model on a CPU from transformers' `sdpa` to grouped attention; outputs are equal.

    Given a mask, as trees need, transformers copies keys and values for each query head in every pass, because most
    fast kernels of GPUs require it.
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
