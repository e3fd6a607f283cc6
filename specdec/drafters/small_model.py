"""A small language model of the same vocabulary."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from specdec.context import Context
from specdec.errors import VocabularyMismatch
from specdec.frontier import Frontier
from specdec.grow import grow
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.pack import pack_chains
from specdec.target.engine import Engine, Slot
from specdec.target.loading import Name, load_model, load_tokenizer
from specdec.target.sessions import CHUNK
from specdec.transfer import upload
from specdec.tree import Tree

FEW = 16
"""Tokens before the root that are read with it; where more are missing, they are read first."""


class SmallModel(Drafter):
    """Drafts with any causal language model of transformers; its keys and values follow what is decided.

    What it read of a tree is kept as far as the target agreed, so that each decided token is read once.
    """

    policy = "adaptive:size=8,depth=8,width=1"

    def __init__(self, model: nn.Module, vocab_size: int | None = None) -> None:
        """Use a loaded model as it is.

        `vocab_size` is the target's where both have one tokenizer, and rows of their embeddings differ by padding.

        Raises:
            UnsupportedModel: it does not read trees as it reads texts.
        """
        self._engine = Engine(model)
        self.vocab_size = vocab_size or self._engine.vocab_size
        self.max_length, self.length_advice = self._engine.max_length, self._engine.length_advice
        self._slots: dict[int, Slot] = {}
        self._frontier: Frontier | None = None
        """The last nodes read, of trees that are not decided yet."""

    def __repr__(self) -> str:
        return f"SmallModel({type(self._engine.model).__name__})"

    @classmethod
    def from_pretrained(cls, name: Name, target: Verifier | None = None, **options: Any) -> "SmallModel":
        """Load the model from a folder or the hub, for a target if given; `options` are those of `load_model`.

        Raises:
            VocabularyMismatch: it has another tokenizer than the target.
        """
        model = load_model(name, **options)
        size = model.config.get_text_config().vocab_size
        if target is None or target.vocab_size == size or target.tokenizer is None:
            return cls(model)
        check_same_tokens(load_tokenizer(name), target.tokenizer, str(name))
        return cls(model, target.vocab_size)

    def begin(self, context: Context) -> None:
        self.close()
        self._slots = {number: self._engine.open(len(tokens)) for number, tokens in enumerate(context.tokens)}

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        self._keep_decided(context)  # before slots move, for what was read but not kept does not move along
        self._leave(context)
        for number in set(context.active) - self._slots.keys():  # what ended a sequence was taken back
            self._slots[number] = self._engine.open(len(context.tokens[number]))

        def score(frontier: Frontier) -> Float[Tensor, "R M V"]:
            self._frontier = frontier
            if frontier.before is None:
                return self._read_roots(context, frontier)
            return self._read(frontier.sequences, frontier.tokens, frontier.read_depths, frontier.visible)

        return grow(context, policy, score)

    def unread(self, context: Context) -> int:
        self._keep_decided(context)
        lengths = {number: slot.length for number, slot in self._slots.items()}
        return sum(len(context.tokens[number]) - lengths.get(number, 0) for number in context.active)

    def cut(self, lengths: Sequence[int]) -> None:
        for number, slot in self._slots.items():
            slot.length = min(slot.length, lengths[number])
        self._frontier = None

    def close(self) -> None:
        self._engine.close(*self._slots.values())
        self._slots, self._frontier = {}, None

    def _keep_decided(self, context: Context) -> None:
        """Keep what was read of the path that was decided."""
        if self._frontier is None:
            return
        rows = zip(self._frontier.sequences, self._frontier.trees, self._frontier.columns, strict=True)
        for number, tree, columns in rows:
            slot = self._slots[number]
            decided = context.tokens[number][slot.length :]  # the old root first, the new one last
            if columns and decided and decided[0] == tree.tokens[0]:
                path = [0, *(node for node in tree.follow(decided[1:-1]) if node in columns)]
                self._engine.keep(slot, [columns[node] for node in path])
        self._frontier = None

    def _leave(self, context: Context) -> None:
        """Free the slots of sequences that are done."""
        self._engine.close(*[self._slots.pop(number) for number in self._slots.keys() - set(context.active)])

    def _read_missing(self, context: Context, sequences: Sequence[int]) -> None:
        """Read long texts up to their roots, as prompts are, in chunks and without scores, and keep them."""
        pairs = [(self._slots[number], context.tokens[number][:-1]) for number in sequences]
        while long := [(slot, text) for slot, text in pairs if len(text) - slot.length > FEW]:
            long.sort(key=lambda pair: pair[0].index)
            slots = [slot for slot, _ in long]
            chains = [text[slot.length : slot.length + CHUNK] for slot, text in long]
            packed = pack_chains(chains)
            self._engine.read(slots, self._own(packed.tokens), packed.depths, packed.ancestors, logits=False)
            self._engine.keep_all(slots, [range(len(chain)) for chain in chains])

    def _read_roots(self, context: Context, frontier: Frontier) -> Float[Tensor, "R 1 V"]:
        """Read the roots, and before them in the same pass the few tokens that are missing; these are kept."""
        self._read_missing(context, frontier.sequences)
        chains = [context.tokens[number][self._slots[number].length :] for number in frontier.sequences]
        packed = pack_chains(chains)
        logits = self._read(frontier.sequences, packed.tokens, packed.depths, packed.ancestors)
        for number, chain in zip(frontier.sequences, chains, strict=True):
            self._engine.keep(self._slots[number], range(len(chain) - 1))
        (last,) = upload(logits.device, torch.tensor([len(chain) - 1 for chain in chains]))
        return logits[torch.arange(len(chains), device=logits.device), last][:, None]

    def _read(
        self, sequences: Sequence[int], tokens: Tensor, depths: Tensor, visible: Tensor
    ) -> Float[Tensor, "R M V"]:
        """Read in the order of the slots, which needs no copy where they are neighbours."""
        slots = [self._slots[number] for number in sequences]
        order = sorted(range(len(slots)), key=lambda row: slots[row].index)
        if order != list(range(len(slots))):
            tokens, depths, visible = tokens[order], depths[order], visible[order]
        logits = self._engine.read([slots[row] for row in order], self._own(tokens), depths, visible).logits
        if logits is None:
            raise RuntimeError("a pass over a tree gives logits")
        logits = logits[..., : self.vocab_size]
        return (
            logits
            if order == list(range(len(slots)))
            else logits[upload(logits.device, torch.tensor(order).argsort())[0]]
        )

    def _own(self, tokens: Int[Tensor, "R M"]) -> Int[Tensor, "R M"]:
        """Replace ids of padding that the target's vocabulary has and this model's has not."""
        return tokens.clamp(max=self._engine.vocab_size - 1)


def check_same_tokens(own: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase, name: str) -> None:
    """Check that a draft model's tokenizer has the tokens of its target's.

    Raises:
        VocabularyMismatch: the message names a token.
    """
    mine, theirs = own.get_vocab(), other.get_vocab()
    if different := [token for token in theirs.keys() | mine.keys() if mine.get(token) != theirs.get(token)]:
        token = min(different)
        raise VocabularyMismatch(
            f"expected a draft model with the target's tokens, got {name}, in which {token!r} is "
            f"{mine.get(token, 'none')} and not {theirs.get(token, 'none')}"
        )
