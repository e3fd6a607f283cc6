"""Sizes of EAGLE heads, under the names of their published configurations, which are those of Llama."""

from typing import Any, no_type_check

from transformers import LlamaConfig, PreTrainedConfig


@no_type_check  # transformers makes it a dataclass that takes more than its fields
class EagleConfig(LlamaConfig):
    """An EAGLE-1/2 head: one Llama layer. Fields that the published format lacks mean what it does by default."""

    model_type = "eagle"

    num_hidden_layers: int = 1
    bias: bool = True
    """Whether `fc` has one; published configurations without the field mean that it does."""
    qkv_bias: bool = False
    """Biases on queries, keys and values, as in heads for Qwen2."""
    qk_norm: bool = False
    """Norms on each head's queries and keys, as in heads made of Qwen3 layers."""
    input_layernorm: bool = False
    """A norm before attention: not in EAGLE, but in the version of it that MoA was compared with."""
    draft_vocab_size: int = 0
    """How many tokens the head drafts; 0 is all of the vocabulary."""
    target: dict[str, Any] | None = None
    """Fingerprint of the target, see `specdec.heads.fingerprint`."""

    def __post_init__(self, **kwargs: Any) -> None:
        self.draft_vocab_size = self.draft_vocab_size or self.vocab_size
        super().__post_init__(**kwargs)

    @classmethod
    def for_target(cls, target: PreTrainedConfig, /, **options: Any) -> "EagleConfig":
        """Size a head as one layer of its target, as the published ones are; `options` replace any field."""
        heads = target.num_attention_heads
        fields = {
            "vocab_size": target.vocab_size,
            "hidden_size": target.hidden_size,
            "intermediate_size": target.intermediate_size,
            "num_attention_heads": heads,
            "num_key_value_heads": target.num_key_value_heads,
            "head_dim": getattr(target, "head_dim", None) or target.hidden_size // heads,
            "qkv_bias": target.model_type == "qwen2",
            "hidden_act": target.hidden_act,
            "rms_norm_eps": target.rms_norm_eps,
            "rope_parameters": dict(target.rope_parameters),
            "max_position_embeddings": target.max_position_embeddings,
        }
        return cls(**{**fields, **options})

    def to_dict(self) -> dict[str, Any]:
        """Name the rotary embedding's parameters as published too."""
        rotary = dict(self.rope_parameters or {})
        scaling = None if rotary.get("rope_type", "default") == "default" else rotary
        return {**super().to_dict(), "rope_theta": rotary.get("rope_theta"), "rope_scaling": scaling}


@no_type_check
class Eagle3Config(EagleConfig):
    """An EAGLE-3 head. A `target_hidden_size` of 0 is the head's own."""

    model_type = "eagle3"

    bias: bool = False
    target_hidden_size: int = 0
    eagle_aux_hidden_state_layer_ids: list[int] | None = None
    """The target's layers whose inputs are read, counted from 0; its depth says which by default."""
    own_embedding: bool = False
    """Whether the head brings an embedding of its own; else it has the target's."""
    norm_before_fc: bool = False
    """Norm the target's states together before `fc` (`speculators`)."""
    norm_before_residual: bool = False
    """Let the attention's residual start from the normed state (`speculators`)."""

    def __post_init__(self, **kwargs: Any) -> None:
        self.target_hidden_size = self.target_hidden_size or self.hidden_size
        super().__post_init__(**kwargs)

    @classmethod
    def for_target(cls, target: PreTrainedConfig, /, **options: Any) -> "Eagle3Config":
        """Size a head as one layer of its target."""
        layers = options.pop("eagle_aux_hidden_state_layer_ids", None) or feature_layers(target.num_hidden_layers)
        return super().for_target(target, eagle_aux_hidden_state_layer_ids=list(layers), **options)


def feature_layers(depth: int) -> list[int]:
    """List the layers whose inputs a head reads: 2, half the depth, and the third from the end.

    In a target of fewer than seven layers these are not three different ones in this order: there, it is those of the
    second, middle and last layers, and of fewer than four layers, the last three states. The state
    numbered as the depth is the one that leaves the final norm.
    """
    if depth >= 7:
        return [2, depth // 2, depth - 3]
    return [1, depth // 2, depth - 1] if depth >= 4 else list(range(depth + 1))[-3:]
