"""The EAGLE-3 head."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

from specdec_eagle.config import Eagle3Config
from specdec_eagle.model import EagleHead, decoder_layer


class Eagle3Model(EagleHead):
    """Reads a mix of the target's states from three depths, and has an output head of its own.

    Li et al., EAGLE-3, arXiv 2503.01840. What stands for a token that the target has not read is the layer's own
    output, not normed. With a draft vocabulary, `d2t` says how far each of its ids is from the target's, and `t2d`
    which of the target's are among them.
    """

    config_class = Eagle3Config
    d2t: Int[Tensor, " W"]
    t2d: Bool[Tensor, " V"]

    def __init__(self, config: Eagle3Config) -> None:
        super().__init__(config)
        width, reads = config.hidden_size, config.eagle_aux_hidden_state_layer_ids or ()
        if config.own_embedding:
            self.embed_tokens = nn.Embedding(config.vocab_size, width)
        if config.norm_before_fc:
            self.input_norm = LlamaRMSNorm(len(reads) * config.target_hidden_size, config.rms_norm_eps)
        self.fc = nn.Linear(len(reads) * config.target_hidden_size, width, bias=config.bias)
        self.midlayer = decoder_layer(config, 2 * width)
        self.midlayer.hidden_norm = LlamaRMSNorm(width, config.rms_norm_eps)
        self.norm = LlamaRMSNorm(width, config.rms_norm_eps)
        self.lm_head = nn.Linear(width, config.draft_vocab_size, bias=False)
        if self.reduced:
            self.register_buffer("d2t", torch.zeros(config.draft_vocab_size, dtype=torch.int64))
            self.register_buffer("t2d", torch.arange(config.vocab_size) < config.draft_vocab_size)
        self.post_init()

    @property
    def reduced(self) -> bool:
        """Whether the head drafts from a part of the vocabulary."""
        return bool(self.config.draft_vocab_size < self.config.vocab_size)

    @property
    def layer(self) -> LlamaDecoderLayer:
        layer: LlamaDecoderLayer = self.midlayer
        return layer

    def choose(self, tokens: Int[Tensor, " W"]) -> None:
        """Make these tokens of the target, in rising order, the draft vocabulary."""
        self.d2t.copy_(tokens - torch.arange(len(tokens), device=tokens.device))
        self.t2d.zero_()
        self.t2d[tokens] = True

    def tokens(self) -> Int[Tensor, " W"]:
        """List the target's ids of the draft vocabulary."""
        drafted = torch.arange(self.config.draft_vocab_size, device=self.lm_head.weight.device)
        return drafted + self.d2t if self.reduced else drafted

    def mix(self, states: Float[Tensor, "*M L E"]) -> Float[Tensor, "*M E"]:
        """Mix the target's states of a token, at the depths that are read, into its feature."""
        flat = states.flatten(-2).to(self.dtype)
        if self.config.norm_before_fc:
            flat = self.input_norm(flat)
        mixed: Tensor = self.fc(flat)
        return mixed

    def fuse(self, embedded: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.layer.hidden_norm(features)
        inputs = torch.cat([self.layer.input_layernorm(embedded), normed], -1)
        return inputs, normed if self.config.norm_before_residual else features

    def output(self, head: nn.Module) -> nn.Module:
        own: nn.Module = self.lm_head
        return own

    def score(self, features: Float[Tensor, "*M E"], output: nn.Module) -> Float[Tensor, "*M V"]:
        logits: Tensor = output(self.norm(features))
        if not self.reduced:
            return logits
        spread = logits.new_full((*logits.shape[:-1], self.config.vocab_size), -torch.inf)
        spread[..., self.tokens()] = logits
        return spread
