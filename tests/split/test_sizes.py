"""What crosses over for the shapes of Llama 3 8B, from shapes alone."""

import torch
from transformers import LlamaConfig

from specdec import Features, Tree
from specdec.split.codecs import token_bytes
from specdec.split.messages import ID, Verify, encode
from specdec.split.prefix_hash import PrefixHash
from specdec.split.trees import pack_tree, unpack_tree
from specdec_moa.config import MoAConfig
from specdec_moa.encoder import MoAEncoder
from specdec_moa.model import MoAModel

LLAMA = LlamaConfig(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=8192,
)


def test_moa_s_encoder_sends_a_kilobyte_per_token() -> None:
    with torch.device("meta"):
        encoder = MoAEncoder(MoAModel(MoAConfig.for_target(LLAMA)).eval())
        keys, values = (torch.empty(1, 3, 32, 8, 128) for _ in range(2))
        encoded = encoder.encode(Features(keys=keys, values=values))

    assert token_bytes(Features(encoded=encoded), "int8") <= 1100


def test_a_tree_of_62_nodes_is_half_a_kilobyte() -> None:
    tree = Tree.root(128_000)
    while len(tree) < 62:
        tree = tree.place([(100_000 + len(tree), len(tree) // 2, 0.0)])
    tokens, parents = pack_tree(tree)
    message = Verify(b"s" * ID, 3, 2000, PrefixHash([1]).digest, tokens, parents, 10_000)

    assert len(encode(message)) <= 512
    assert unpack_tree(message, 62).parents == tree.parents
