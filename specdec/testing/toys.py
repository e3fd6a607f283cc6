"""A model small enough that a check takes seconds."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def toy_model(vocab: int = 16, *, seed: int = 0, noise: float = 0.0) -> LlamaForCausalLM:
    """Make a two-layer Llama in double precision with random weights; `noise` gives one that mostly agrees with it."""
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        for parameter in model.parameters():
            parameter.data += noise * torch.randn_like(parameter)
    return model.double().eval().requires_grad_(False)
