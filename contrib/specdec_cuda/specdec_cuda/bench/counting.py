"""A model of any size whose text is known, and a drafter that guesses as much of it as it is told to."""

import torch
from attrs import frozen
from transformers import LlamaConfig, LlamaForCausalLM

from specdec import Context, Drafter, Tree, TreePolicy

LOGIT = 80.0
"""The logit of the token that comes next; all others are far below, so that sampling finds it too."""
EMBEDDING = 100.0
"""How large embeddings are, beside which little is what the layers add."""
LEVELS = 7
"""Of a drafted tree, the root's not counted."""


@frozen
class Size:
    """Sizes of a Llama; all others follow from them as in Llama 3 8B."""

    layers: int
    hidden: int
    vocabulary: int

    @property
    def config(self) -> LlamaConfig:
        """Describe it to transformers."""
        head_dim = min(128, self.hidden // 4)
        heads = self.hidden // head_dim
        return LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=7 * self.hidden // 2,
            num_hidden_layers=self.layers,
            num_attention_heads=heads,
            num_key_value_heads=max(heads // 4, 1),
            head_dim=head_dim,
            max_position_embeddings=8192,
            rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        )


def counting_model(size: Size, dtype: torch.dtype, device: torch.device) -> LlamaForCausalLM:
    """Make a model of random weights that counts: after token t it says t + 1, and after the last one 0.

    Its layers compute what any others do, but the embedding is large enough to survive them, and the output head
    has that of t for t + 1.
    """
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM._from_config(size.config, dtype=dtype).eval()
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight.normal_()
        model.lm_head.weight.copy_(embedding.roll(1, 0) * (LOGIT / size.hidden))
        embedding.mul_(EMBEDDING)
    return model


class Scripted(Drafter):
    """Drafts trees for a model that counts: a path that is right for so many tokens, and beside it what is wrong."""

    def __init__(self, accepted: int, nodes: int, vocabulary: int) -> None:
        """Have `accepted` tokens of each tree of `nodes` nodes be right, at most `LEVELS`."""
        self.accepted, self.nodes, self.vocabulary = accepted, nodes, vocabulary

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        return [
            None if done else self.tree(tokens[-1]) for tokens, done in zip(context.tokens, context.done, strict=True)
        ]

    def tree(self, root: int) -> Tree:
        """Draft a path, and spread the other nodes below it."""
        tokens, parents, levels = [root], [-1], min(LEVELS, self.nodes - 1)
        for node in range(1, self.nodes):
            parent = node - 1 if node <= levels else node % levels
            right = node <= self.accepted
            tokens.append((root + parent + (1 if right else 1 + node)) % self.vocabulary)
            parents.append(parent)
        return Tree.of(tokens, parents)
