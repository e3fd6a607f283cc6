"""The EAGLE-3 head."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

from specdec.heads import TargetParts
from specdec_eagle.config import Eagle3Config
from specdec_eagle.model import EagleHead, decoder_layer


class Eagle3Model(EagleHead):
    """Reads a mix of the target's states from three depths, and has an output head of its own.

    Li et al., EAGLE-3, arXiv 2503.01840. What stands for a token that the target has not read is the layer's own
    output, not normed.
    """

    config_class = Eagle3Config

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
        self.post_init()

    @property
    def layer(self) -> LlamaDecoderLayer:
        layer: LlamaDecoderLayer = self.midlayer
        return layer

    def mix(self, states: Float[Tensor, "*M L T"]) -> Float[Tensor, "*M E"]:
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

    def output(self, parts: TargetParts) -> nn.Module:
        own: nn.Module = self.lm_head
        return own

    def score(self, features: Float[Tensor, "*M E"], output: nn.Module) -> Float[Tensor, "*M W"]:
        logits: Tensor = output(self.norm(features))
        return logits
