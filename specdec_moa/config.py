"""Sizes of a Mixture of Attentions head, under the names of its published configuration."""

from typing import Any, no_type_check

from transformers import LlamaConfig, PreTrainedConfig, Qwen2Config

from specdec import OptionError

BLOCKS = ("self_attention", "cross_attention", "layer_self_attention")


@no_type_check  # transformers makes it a dataclass that takes more than its fields
class MoAConfig(PreTrainedConfig):
    """What a head is made of, and the target that it is made for.

    The three blocks share `num_attention_heads`; the layer self-attention is `kv_hidden_size` wide, the width of one
    layer's keys and values of a token, and the other two are as wide as the target. Fields that the published
    format lacks come last; their defaults are what it means.
    """

    model_type = "moa_spec"

    vocab_size: int = 128256
    hidden_size: int = 4096
    num_attention_heads: int = 32
    kv_hidden_size: int = 2048
    self_attention_num_key_value_heads: int = 4
    self_attention_intermediate_size: int = 6144
    cross_attention_num_key_value_heads: int = 4
    cross_attention_intermediate_size: int = 6144
    layer_self_attention_num_key_value_heads: int = 8
    layer_self_attention_intermediate_size: int = 3072
    disable_LSA: bool = False  # noqa: N815 - the published name
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-5
    rope_parameters: dict[str, Any] | None = None
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02

    target_layer_inference: int = 0
    head_dim: int | None = None
    layer_self_attention_num_attention_heads: int | None = None
    layer_self_attention_head_dim: int | None = None
    """Size of its heads, which need not fill its width; published heads do."""
    attention_bias: bool = False
    """Biases on queries, keys and values of the two self-attentions, as in heads for Qwen2."""
    scale_all_rotary: bool = False
    """Apply the target's rotary scaling in all three blocks, not in the self-attention over tokens alone."""
    random_norms: bool = False
    """Draw the norms' weights as those of linear layers before training, as the released code does."""
    feature_scale: float = 1.0
    """Size of the target's features that the head predicts, by which the loss divides them; published heads: 1."""
    draft_vocab_size: int = 0
    """How many tokens the head drafts; 0 is all of the vocabulary."""
    target: dict[str, Any] | None = None
    """Fingerprint of the target, see `specdec.heads.fingerprint`."""

    def __post_init__(self, **kwargs: Any) -> None:
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.layer_self_attention_num_attention_heads is None:
            self.layer_self_attention_num_attention_heads = self.num_attention_heads
        if self.layer_self_attention_head_dim is None:
            self.layer_self_attention_head_dim = self.kv_hidden_size // self.layer_self_attention_num_attention_heads
        self.draft_vocab_size = self.draft_vocab_size or self.vocab_size
        super().__post_init__(**kwargs)

    @classmethod
    def for_target(cls, target: PreTrainedConfig, /, **options: Any) -> "MoAConfig":
        """Size a head for a target by the proportions of the published one; `options` replace any field.

        Other numbers of heads leave the size of each as it is.

        Raises:
            OptionError: key and value heads that queries cannot share evenly, or heads of an odd size.
        """
        heads = target.num_attention_heads
        size = getattr(target, "head_dim", None) or target.hidden_size // heads
        packed = 2 * target.num_key_value_heads * size
        most = next(count for count in range(heads, 0, -1) if packed % (2 * count) == 0)
        layer_heads = options.get("layer_self_attention_num_attention_heads", most)
        fields = {
            "vocab_size": target.vocab_size,
            "hidden_size": target.hidden_size,
            "num_attention_heads": heads,
            "head_dim": size,
            "kv_hidden_size": packed,
            "self_attention_num_key_value_heads": _divisor(heads, heads // 8),
            "self_attention_intermediate_size": target.hidden_size * 3 // 2,
            "cross_attention_num_key_value_heads": _divisor(heads, heads // 8),
            "cross_attention_intermediate_size": target.hidden_size * 3 // 2,
            "layer_self_attention_num_attention_heads": layer_heads,
            "layer_self_attention_head_dim": packed // most,
            "layer_self_attention_num_key_value_heads": _divisor(layer_heads, layer_heads // 4),
            "layer_self_attention_intermediate_size": packed * 3 // 2,
            "attention_bias": target.model_type == "qwen2",
            "hidden_act": target.hidden_act,
            "rms_norm_eps": target.rms_norm_eps,
            "rope_parameters": dict(target.rope_parameters),
            "max_position_embeddings": target.max_position_embeddings,
        }
        config = cls(**{**fields, **options})
        for name in BLOCKS:
            _check_heads(name, config.block(name))
        return config

    def block(self, name: str) -> PreTrainedConfig:
        """Describe one block, `self_attention`, `cross_attention` or `layer_self_attention`, as a decoder layer."""
        layer = name == "layer_self_attention"
        heads = self.layer_self_attention_num_attention_heads if layer else self.num_attention_heads
        width = self.kv_hidden_size if layer else self.hidden_size
        kind = Qwen2Config if self.attention_bias and name != "cross_attention" else LlamaConfig
        config = kind(
            hidden_size=width,
            num_hidden_layers=1,
            num_attention_heads=heads,
            num_key_value_heads=getattr(self, f"{name}_num_key_value_heads"),
            intermediate_size=getattr(self, f"{name}_intermediate_size"),
            hidden_act=self.hidden_act,
            rms_norm_eps=self.rms_norm_eps,
            rope_parameters=self._rotary(scaled=self.scale_all_rotary or name == "self_attention"),
            max_position_embeddings=self.max_position_embeddings,
        )
        config.head_dim = self.layer_self_attention_head_dim if layer else self.head_dim
        return config

    def to_dict(self) -> dict[str, Any]:
        """Name the rotary embedding's parameters as published too."""
        rotary = dict(self.rope_parameters or {})
        scaling = None if rotary.get("rope_type", "default") == "default" else rotary
        return {**super().to_dict(), "rope_theta": self._rotary(scaled=False)["rope_theta"], "rope_scaling": scaling}

    def _rotary(self, *, scaled: bool) -> dict[str, Any]:
        rotary = dict(self.rope_parameters or {"rope_theta": 10000.0})
        return rotary if scaled else {"rope_type": "default", "rope_theta": rotary["rope_theta"]}


def _check_heads(name: str, block: PreTrainedConfig) -> None:
    heads, shared, size = block.num_attention_heads, block.num_key_value_heads, block.head_dim
    if heads % shared or size % 2:
        raise OptionError(
            f"expected {name} to have heads of an even size, and a multiple of its key and value heads; "
            f"got {heads} heads, {shared} of keys and values, and size {size}"
        )


def _divisor(number: int, most: int) -> int:
    """Give the largest divisor of a number that is no larger than `most`, at least 1."""
    return next(divisor for divisor in range(max(most, 1), 0, -1) if number % divisor == 0)
