"""Training of an EAGLE-3 head: by the drafts that it would make from every token, and by its authors' recipe."""

from typing import Annotated, Any

import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel

from specdec import Needs, OptionError, find_model
from specdec.heads import TargetParts, fingerprint, soft_cross_entropies
from specdec.training import (
    START,
    Examples,
    Progress,
    Recipe,
    Schedule,
    TeacherBatch,
    TrainingMethod,
    check_start,
    chosen_sizes,
    continued,
    option,
    takes,
)
from specdec_eagle.checkpoint import load
from specdec_eagle.config import Eagle3Config
from specdec_eagle.drafter import Eagle3Drafter
from specdec_eagle.model3 import Eagle3Model
from specdec_eagle.unrolled import unroll

PUBLISHED = 32_000
"""Size of the published heads' draft vocabularies."""


@frozen
class Options:
    """What may be chosen; the defaults are EAGLE-3's own."""

    steps: int = option(7, "Tokens drafted from each token of a text.", low=1)
    discount: float = option(
        0.8, "What the loss of each further drafted token counts, as a share of the one before.", high=1
    )
    rate: float = option(5e-5, "Highest learning rate.", above=True)
    last_rate: float = option(0.0, "Learning rate at the end of its fall.")
    warmup: int = option(12_000, "Steps until the highest rate; at most a tenth of the run.")
    decay: int = option(788_000, "Steps from the highest rate to the last; 0: the rest of the first pass.")
    clip: float = option(0.5, "Bound on the norm of all gradients; 0 for none.")
    clip_value: float = option(0.0, "Bound on each gradient; 0 for none.")
    weight_decay: float = option(0.0, "Weight decay.")
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """How these options optimise; EAGLE-3's own batch of 2 texts and 40 passes."""
        schedule = Schedule(self.rate, self.last_rate, self.warmup, self.decay or None, share=0.1)
        return Recipe(
            schedule, weight_decay=self.weight_decay, clip=self.clip, clip_value=self.clip_value, epochs=40, batch=2
        )


class Eagle3Method(TrainingMethod):
    """Learns what the target would say next after each of the first tokens drafted from any place in a text.

    Features are not regressed. The head's own output stands for them from the second drafted token
    (training-time test: Li et al., "EAGLE-3", arXiv 2503.01840).
    """

    head: Eagle3Model

    def __init__(
        self, head: Eagle3Model, parts: TargetParts, options: Options | None = None, *, copied: bool = False
    ) -> None:
        """Train a head; with `copied`, its output head begins as the target's. An embedding of its own stays."""
        super().__init__()
        self.head, self.parts, self.options, self._copied = head.train(), parts, options or Options(), copied
        own = getattr(head, "embed_tokens", None)
        if own is not None:
            own.requires_grad_(False)
        self._embed: tuple[nn.Module] = (own or parts.embed,)  # in a tuple, so that the target's is no submodule
        self.needs = Needs(head.config.eagle_aux_hidden_state_layer_ids or ())
        self.recipe = self.options.recipe
        self._copy()

    def prepare(self, examples: Examples) -> None:
        super().prepare(examples)
        self._copy()

    def forward(self, batch: TeacherBatch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Compute `loss`, a mean over tokens of a sum over steps, and each step's own part of it, not discounted."""
        texts, options, hidden = batch.texts, self.options, batch.features.hidden
        if hidden is None:
            raise OptionError("expected the target's hidden states, got none")
        embedded = self._embed[0](texts.tokens[:, 1:]).to(self.head.dtype)
        outputs = unroll(self.head, embedded, self.head.mix(hidden[:, :-1]), texts.positions[:, :-1], options.steps)
        counted = texts.response[:, :-1] & texts.real[:, 1:]
        states = torch.stack([_shifted(self.head.norm(output), step)[counted] for step, output in enumerate(outputs)])
        begun = torch.arange(counted.shape[1], device=counted.device).expand_as(counted)[counted]  # chains before it
        steps = torch.arange(options.steps, device=begun.device)[:, None]
        weights = ((begun >= steps) * options.discount**steps).to(states)
        truth, tokens = batch.last[:, 1:][counted], self.head.tokens()
        total, each = soft_cross_entropies(states, truth, weights, self.head.lm_head, self.parts.head, tokens)
        count = texts.real.sum()
        parts = {f"step_{step}": part / options.discount**step / count for step, part in enumerate(each)}
        return {"loss": total / count, **parts}

    def drafter(self) -> Eagle3Drafter:
        """Make a drafter that uses the head as it is."""
        return Eagle3Drafter(self.head, self.parts)

    @torch.no_grad()
    def _copy(self) -> None:
        if self._copied:
            self.head.lm_head.weight.copy_(self.parts.output_rows(self.head.tokens()).weight)


@takes(Options)
def method(
    model: PreTrainedModel,
    tokenizer: Any = None,
    seed: int = 0,
    draft_vocab: Annotated[int, "Size of the draft vocabulary; 0: the published 32,000, or all if fewer."] = 0,
    copied: Annotated[bool, "Begin with the target's norm and output head; EAGLE-3: not."] = False,
    layers: Annotated[str, "Layers of the target whose inputs are read, as 2+6+9; the published rule if empty."] = "",
    sizes: Annotated[str, "Sizes of the head other than the target's layer: field=value+field=value."] = "",
    start: Annotated[str, START] = "",
    **options: Any,
) -> Eagle3Method:
    """Begin a head for a target, or `start` from one; `options` are those of `Options`.

    Raises:
        OptionError: a value means nothing.
        UnsupportedModel: heads are not for targets of its family.
        WrongCheckpoint: the head to start from is damaged, or made for another target.
    """
    check_start(start, draft_vocab=draft_vocab != 0, copied=copied, layers=bool(layers), sizes=bool(sizes))
    config, parts, chosen = model.config.get_text_config(), TargetParts.of(model), Options(seed=seed, **options)
    if start:
        head = load(Eagle3Model, find_model(start), parts, tokenizer)
        return continued(Eagle3Method(head, parts, chosen), fingerprint(config, tokenizer))
    head = Eagle3Model(
        Eagle3Config.for_target(
            config,
            draft_vocab_size=min(draft_vocab or PUBLISHED, config.vocab_size),
            eagle_aux_hidden_state_layer_ids=_read_layers(layers),
            target=fingerprint(config, tokenizer),
            **chosen_sizes(sizes, Eagle3Config),
        )
    )
    if copied:
        head.norm.load_state_dict(parts.norm.state_dict())
    return Eagle3Method(head, parts, chosen, copied=copied)


def _read_layers(text: str) -> list[int]:
    """Read layers as they are written in an option; none are the published ones.

    Raises:
        OptionError: they are no numbers.
    """
    try:
        return [int(layer) for layer in text.split("+")] if text else []
    except ValueError:
        raise OptionError(f"expected layers as 2+6+9, got {text!r}") from None


def _shifted(output: Float[Tensor, "B P E"], step: int) -> Float[Tensor, "B P E"]:
    """Move output i of a step to the place of what it predicts, i + step."""
    size = output.shape[1]
    step = min(step, size)
    return pad(output[:, : size - step], (0, 0, step, 0))
