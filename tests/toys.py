"""Tiny models of every architecture, and drafters that do their worst."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from specdec import Context, Drafter, Frontier, Tree, TreePolicy, grow
from specdec.drafters import SmallModel

VOCAB = 56
END = 7
ARCHITECTURES = ("llama", "qwen3", "mistral", "gemma", "gpt2", "gpt_neox")

_SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "scale_attn_by_inverse_layer_idx": True},
    "gpt_neox": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 128,
    },
}
_OWN: dict[str, dict[str, Any]] = {"mistral": {"sliding_window": 11}}  # so that it is no second llama
_HEADS = ("head_dim", "num_key_value_heads")
_HEADLESS = ("falcon", "opt", "gpt_bigcode")
_USUAL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}


def build(kind: str, *, seed: int = 0, dtype: torch.dtype = torch.float64, **options: Any) -> PreTrainedModel:
    """Make a tiny random model, its weights so large that its argmax is not flat."""
    settings = {"vocab_size": VOCAB, "initializer_range": 0.4, "bos_token_id": None, "eos_token_id": None}
    settings |= {"pad_token_id": None, "tie_word_embeddings": False, "attn_implementation": "sdpa"}
    settings |= _SIZES.get(kind, _USUAL) | options
    settings = {name: value for name, value in settings.items() if not (kind in _HEADLESS and name in _HEADS)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))
        for parameter in model.parameters():  # biases and norms start flat, where a mistake would not show
            if parameter.dim() == 1:
                parameter.data += 0.2 * torch.randn_like(parameter)
    return model.to(dtype).eval().requires_grad_(False)


@cache
def tiny(kind: str = "llama") -> PreTrainedModel:
    """Share one model per architecture; whoever changes weights builds its own."""
    return build(kind, **_OWN.get(kind, {}), seed=ARCHITECTURES.index(kind))


@cache
def perturbed(kind: str = "llama", amount: float = 0.02) -> PreTrainedModel:
    """Share a model that mostly agrees with `tiny`."""
    model = build(kind, **_OWN.get(kind, {}), seed=ARCHITECTURES.index(kind))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter.data += amount * torch.randn_like(parameter)
    return model


def prompt(length: int, seed: int = 0) -> list[int]:
    """Draw a prompt."""
    generator = torch.Generator().manual_seed(1000 * seed + length)
    tokens: list[int] = torch.randint(VOCAB, (length,), generator=generator).tolist()
    return tokens


RAGGED = [prompt(9), prompt(1), prompt(23), [0, 0, 0], prompt(4) * 3]
"""Five prompts of different lengths: one of a single token, one of nothing but id 0, one that repeats itself."""


@cache
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer of ASCII, a few merges, and the bytes of é, € and 😀, which lie across tokens."""
    bytelevel = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    letters = "".join(map(chr, range(32, 127))) + "é€😀"
    alphabet = sorted(set(bytelevel.pre_tokenize_str(letters)[0][0]))
    pairs = [("a", "b"), ("ab", "c"), ("b", "c"), ("x", "y"), ("Ġ", "a")]
    words = [*alphabet, *("".join(pair) for pair in pairs)]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=pairs))
    tokenizer.pre_tokenizer = bytelevel
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)


class Uniform(Drafter):
    """Finds all tokens equally likely."""

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        def score(frontier: Frontier) -> Float[Tensor, "R M V"]:
            return torch.zeros(*frontier.tokens.shape, VOCAB)

        return grow(context, policy, score)


class Constant(Drafter):
    """Guesses one and the same token for ever."""

    def __init__(self, token: int) -> None:
        self.token = token

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        def score(frontier: Frontier) -> Float[Tensor, "R M V"]:
            logits = torch.full((*frontier.tokens.shape, VOCAB), -torch.inf)
            logits[..., self.token] = 0.0
            return logits

        return grow(context, policy, score)


class Scripted(Drafter):
    """Hands over the trees that a function makes of each sequence's tokens and room."""

    def __init__(self, script: Callable[[list[int], int], Tree]) -> None:
        self.script = script

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        rows = zip(context.tokens, context.room, context.done, strict=True)
        return [None if done else self.script(tokens, room) for tokens, room, done in rows]


class Wrapped(Drafter):
    """Spoils what a draft model proposes."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.inner = SmallModel(model)
        self.calls = 0

    def begin(self, context: Context) -> None:
        self.inner.begin(context)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        self.calls += 1
        trees = self.inner.propose(context, policy)
        return [tree and self.spoil(tree, number) for number, tree in enumerate(trees)]

    def spoil(self, tree: Tree, number: int) -> Tree:
        raise NotImplementedError

    def close(self) -> None:
        self.inner.close()


class Restless(LogitsProcessor):
    """Favours a token that depends on every token before, and on how many there are; a pure function."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        weights = torch.arange(1, input_ids.shape[-1] + 1)
        favourite = ((input_ids * weights).sum(-1) + input_ids.shape[-1]) % VOCAB
        return scores + 4.0 * torch.nn.functional.one_hot(favourite, VOCAB)


class Wrong(Wrapped):
    """Guesses the token after the one that its model would have guessed."""

    def spoil(self, tree: Tree, number: int) -> Tree:
        wrong = [(token + 1) % VOCAB for token in tree.tokens[1:]]
        return Tree([tree.tokens[0], *wrong], tree.parents, tree.scores, tree.depths)


class Twins(Wrapped):
    """Has every node twice: the first twin of an even node has its children, the second that of an odd one."""

    def spoil(self, tree: Tree, number: int) -> Tree:
        twinned, heirs = Tree.root(tree.tokens[0]), [0]
        for node in range(1, len(tree)):
            heirs.append(len(twinned) + node % 2)
            twinned = twinned.place([(tree.tokens[node], heirs[tree.parents[node]], tree.scores[node])] * 2)
        return twinned


class Sometimes(Wrapped):
    """Proposes nothing for every second sequence, in turn."""

    def spoil(self, tree: Tree, number: int) -> Tree:
        return tree if (number + self.calls) % 2 else tree.select([])
