"""The sizes of the zoo's models, as Llama configurations."""

from typing import Any

from transformers import LlamaConfig

from specdec_zoo.tokenizer import VOCABULARY

SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("target", "cpu"): {"num_hidden_layers": 12, "hidden_size": 160, "intermediate_size": 384},
    ("target", "gpu"): {"num_hidden_layers": 24, "hidden_size": 256, "intermediate_size": 704},
    ("draft", "cpu"): {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 384},
    ("draft", "gpu"): {"num_hidden_layers": 2, "hidden_size": 192, "intermediate_size": 512},
    ("target", "tiny"): {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64},
    ("draft", "tiny"): {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 64},
}

SIZES = ("cpu", "gpu", "tiny")


def config(name: str, size: str, vocabulary: int = VOCABULARY, end_of_text: int = 0) -> LlamaConfig:
    return LlamaConfig(
        **SHAPES[name, size],
        vocab_size=vocabulary,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        pad_token_id=end_of_text,
    )
