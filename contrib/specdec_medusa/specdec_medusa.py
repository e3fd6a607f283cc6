"""Medusa heads, a drafter in one file: each guesses one of the tokens to come, all from one hidden state.

Cai et al., "Medusa: Simple LLM Inference Acceleration Framework with Multiple Decoding Heads", arXiv 2401.10774;
trained as Medusa-1, with the target left as it is. `docs/writing/drafter.md` walks through this file.
"""

from collections.abc import Sequence
from math import cos, pi
from os import PathLike
from typing import Annotated, Any, no_type_check

import torch
from attrs import frozen
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig, PreTrainedModel

from specdec import (
    Context,
    Drafter,
    Frontier,
    Needs,
    OptionError,
    Register,
    Tree,
    TreePolicy,
    Verifier,
    WrongCheckpoint,
    grow,
    hookimpl,
    upload,
)
from specdec.heads import Checkpoint, check_made_for, vocabulary_hash
from specdec.training import Progress, Recipe, Schedule, TeacherBatch, TrainingMethod

DECAY = 0.8
"""How much less each head counts in training than the one before it."""
CHUNK = 1024
"""Tokens whose scores exist at a time in training; they are computed again in the backward pass."""


@no_type_check  # transformers makes it a dataclass that takes more than its fields
class MedusaConfig(PreTrainedConfig):
    """Sizes of the heads, and the target that they are made for; `vocabulary` is a hash of its tokenizer's."""

    model_type = "specdec_medusa"

    vocab_size: int = 32000
    hidden_size: int = 4096
    heads: int = 4
    own_output: bool = True
    vocabulary: str | None = None


class MedusaModel(PreTrainedModel):
    """Head k is `output(h + silu(W h))`: W begins as zero, and the output layer as the target's (section 2.1.1)."""

    config_class = MedusaConfig

    def __init__(self, config: MedusaConfig) -> None:
        super().__init__(config)
        size, outputs = config.hidden_size, config.heads if config.own_output else 0
        self.blocks = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(config.heads))
        self.outputs = nn.ModuleList(nn.Linear(size, config.vocab_size, bias=False) for _ in range(outputs))
        self.post_init()

    def forward(self, states: Float[Tensor, "R E"], shared: nn.Module | None) -> Float[Tensor, "R K V"]:
        """Score the K tokens after the one that each state predicts; `shared` is the target's own output layer."""
        return torch.stack([self.score(head, states, shared) for head in range(len(self.blocks))], 1)

    def score(self, head: int, states: Float[Tensor, "R E"], shared: nn.Module | None) -> Float[Tensor, "R V"]:
        """Score the token `head + 1` places after the one that each state predicts."""
        output = shared if shared is not None else self.outputs[head]
        logits: Tensor = output(states + silu(self.blocks[head](states)))
        return logits


class MedusaDrafter(Drafter):
    """Drafts as many levels as there are heads; what follows a node depends on its depth alone."""

    policy = "static:levels=8"
    needs = Needs(hidden_states=(-1,), only_last=True)

    def __init__(self, model: MedusaModel, shared: nn.Module | None = None) -> None:
        """Use loaded heads; `shared` is the target's output layer, for heads that have none."""
        self.model, self.shared = model, shared
        self.vocab_size = int(model.config.vocab_size)

    def begin(self, context: Context) -> None:
        size, config = len(context.tokens), self.model.config
        self._states = torch.zeros(size, int(config.hidden_size), dtype=self.model.dtype, device=self.model.device)
        self._lengths = [self._never] * size  # of each sequence, when its state came

    def cut(self, lengths: Sequence[int]) -> None:
        pairs = zip(self._lengths, lengths, strict=True)
        self._lengths = [came if came <= length else self._never for came, length in pairs]

    @property
    def _never(self) -> int:
        """So short a sequence that no head predicts what follows it now."""
        return -int(self.model.config.heads)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        self._learn(context)
        late = [len(tokens) - length for tokens, length in zip(context.tokens, self._lengths, strict=True)]

        def score(frontier: Frontier) -> Float[Tensor, "R M V"]:
            rows = [
                [late[sequence] + depth for depth in depths]
                for sequence, depths in zip(frontier.sequences, frontier.depths.tolist(), strict=True)
            ]
            logits = {head: self._score(head, frontier.sequences) for head in set().union(*rows)}
            return torch.stack([torch.stack([logits[head][row] for head in heads]) for row, heads in enumerate(rows)])

        return grow(context, policy, score)

    def _learn(self, context: Context) -> None:
        """Take in each sequence's last state: it predicted a token, and from it the heads predict what follows that."""
        for new in context.features:
            hidden, spans = new.features.hidden, zip(new.starts, new.lengths, strict=True)
            for sequence, (start, count) in enumerate(spans):
                length = start + count + 1  # of the sequence when this state predicted its last token
                if hidden is not None and count and length > self._lengths[sequence]:
                    self._states[sequence] = hidden[sequence, count - 1, 0]
                    self._lengths[sequence] = length

    @torch.no_grad()
    def _score(self, head: int, sequences: list[int]) -> Float[Tensor, "R V"]:
        """Score with one head; where there is no such head, nothing is to be drafted."""
        states = self._states[upload(self._states.device, torch.tensor(sequences))[0]]
        config = self.model.config
        if head < int(config.heads):
            return self.model.score(head, states, self.shared)
        return states.new_full((len(states), int(config.vocab_size)), -torch.inf)


@frozen
class Cosine(Schedule):
    """Rise to `peak` in `warmup` steps, fall to `base` along half a cosine in the rest of the run."""

    def rate(self, step: int, epoch_steps: int, steps: int) -> float:
        """Give the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.peak * step / self.warmup
        fallen = min((step - self.warmup) / max(steps - self.warmup, 1), 1.0)
        return self.base + (self.peak - self.base) * (1 + cos(pi * fallen)) / 2


class MedusaMethod(TrainingMethod):
    """Cross-entropy of each head with the token that did come, head k weighted by 0.8^k (equation 1)."""

    head: MedusaModel
    needs = Needs()  # the last state is part of every batch
    recipe = Recipe(Cosine(peak=1e-3, base=0.0, warmup=40), betas=(0.9, 0.999), epochs=2, batch=128)

    def __init__(self, head: MedusaModel, model: PreTrainedModel) -> None:
        super().__init__()
        self.head = head.train()
        self._shared = (shared_output(head, model),)  # in a tuple, so that it is no submodule

    def forward(self, batch: TeacherBatch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Compute `loss`, and of each head the mean over the tokens that are learnt from."""
        tokens, counted, states = batch.texts.tokens, batch.texts.response, batch.last.to(self.head.dtype)
        losses = {}
        for head in range(len(self.head.blocks)):
            after = head + 2  # the state at t predicts token t + 1 by the target's own head
            learnt = counted[:, after:]
            before = states[:, : learnt.shape[1]][learnt]
            losses[f"head_{head + 1}"] = self._mean(head, before, tokens[:, after:][learnt])
        weighted = [DECAY**power * loss for power, loss in enumerate(losses.values(), 1)]
        return {"loss": torch.stack(weighted).sum(), **losses}

    def drafter(self) -> MedusaDrafter:
        """Make a drafter that uses the heads as they are."""
        return MedusaDrafter(self.head, *self._shared)

    def _mean(self, head: int, states: Float[Tensor, "M E"], tokens: Int[Tensor, " M"]) -> Float[Tensor, ""]:
        def summed(states: Tensor, tokens: Tensor) -> Tensor:
            return cross_entropy(self.head.score(head, states, *self._shared).float(), tokens, reduction="sum")

        chunks = zip(torch.split(states, CHUNK), torch.split(tokens, CHUNK), strict=True)
        sums = [checkpoint(summed, *chunk, use_reentrant=False) for chunk in chunks]
        return torch.stack(sums).sum() / max(len(tokens), 1)


def method(
    model: PreTrainedModel,
    tokenizer: Any = None,
    heads: Annotated[int, "Heads: how many tokens are guessed."] = 4,
    own_output: Annotated[bool, "An output layer for each head, as published, or the target's for all."] = True,
) -> MedusaMethod:
    """Begin heads for a target.

    Raises:
        OptionError: there is no head.
    """
    if heads < 1:
        raise OptionError(f"expected at least one head, got {heads}")
    output: Any = model.get_output_embeddings()
    sizes = dict(zip(("vocab_size", "hidden_size"), output.weight.shape, strict=True))
    vocabulary = None if tokenizer is None else vocabulary_hash(tokenizer)
    head = MedusaModel(MedusaConfig(**sizes, heads=heads, own_output=own_output, vocabulary=vocabulary))
    with torch.no_grad():
        for weight in head.blocks.parameters():
            weight.zero_()
        for weight in head.outputs.parameters():
            weight.copy_(output.weight)
    return MedusaMethod(head, model)


def medusa(path: str | PathLike[str], target: Verifier) -> MedusaDrafter:
    """Load heads for a target, which need not be on this machine if they have output layers of their own.

    Raises:
        WrongCheckpoint: the files are missing, damaged, of another kind, or made for another target.
        OptionError: the heads share the output layer of a target that is not on this machine.
    """
    head, model = load(path), getattr(target, "model", None)
    made_for = {name: getattr(head.config, name) for name in ("vocab_size", "hidden_size", "vocabulary")}
    properties: dict[str, Any] = {"vocab_size": target.vocab_size}
    if target.tokenizer is not None and head.config.vocabulary is not None:
        properties["vocabulary"] = vocabulary_hash(target.tokenizer)
    if isinstance(model, PreTrainedModel):
        properties["hidden_size"] = model.config.get_text_config().hidden_size
        head = head.to(model.device, model.dtype)
    elif not head.config.own_output:
        raise OptionError(f"expected a target on this machine to take the output layer from, got {target!r}")
    check_made_for(made_for, properties, str(path))
    return MedusaDrafter(head, shared_output(head, model))


def shared_output(head: MedusaModel, model: PreTrainedModel | None) -> nn.Module | None:
    """Take the target's output layer, for heads that have none of their own."""
    output: nn.Module | None = None if head.config.own_output or model is None else model.get_output_embeddings()
    return output


def load(path: str | PathLike[str]) -> MedusaModel:
    """Read heads from a folder or the hub.

    Raises:
        WrongCheckpoint: the files are missing, damaged or of another kind.
    """
    files = Checkpoint.read(path)
    kind = files.fields.get("model_type")
    if kind != MedusaConfig.model_type:
        raise WrongCheckpoint(f"expected Medusa heads in {path}, got a model of type {kind!r}")
    try:
        model = MedusaModel(MedusaConfig(**files.fields))
    except (TypeError, ValueError) as error:
        raise WrongCheckpoint(f"expected sizes of Medusa heads in {path}, got: {error}") from error
    files.load_into(model)
    model.requires_grad_(False)
    return model


@hookimpl
def register_drafters(register: Register) -> None:
    """Bring `medusa`."""
    register("medusa", medusa)


@hookimpl
def register_methods(register: Register) -> None:
    """Bring the training of `medusa`."""
    register("medusa", method)
