"""Training of a Mixture of Attentions head: its loss, its masks drawn anew in each pass, its authors' recipe."""

from typing import Annotated, Any

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import smooth_l1_loss
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from specdec.drafters.borrowed import fingerprint
from specdec.errors import OptionError
from specdec.features import Needs
from specdec.training import (
    Lesson,
    Method,
    Progress,
    Recipe,
    Schedule,
    chosen_sizes,
    option,
    soft_cross_entropy,
    takes,
)
from specdec_moa.config import MoAConfig
from specdec_moa.drafter import MoADrafter
from specdec_moa.last import LastLayers
from specdec_moa.masks import Blocks, blocks
from specdec_moa.model import MoAModel, lean
from specdec_moa.parts import TargetParts
from specdec_moa.rotary import angles

LARGE = 2**24
"""Numbers per batch in the memory's input above which it is made in parts, each a second time on the way back."""
PART = 2**21
"""Numbers in the input of such a part; what is kept of it on the way back is some 15 times as much."""
CACHED = 256
"""Tokens whose memory a CPU makes at a time, so that what it touches stays in its cache."""
BLOCKS = ("variable", "whole", "none")


@frozen
class Options:
    """What the paper and the released code leave open; the defaults are theirs unless said otherwise."""

    block: str = option("variable", "Answers cut at multiples of a drawn length; or whole; or none: nothing is hidden.")
    shortest: int = option(6, "Shortest block.")
    longest: int = option(14, "Longest block.")
    strict: bool = option(True, "Hide a block start's own memory from it, as in drafting; released: not.")
    staircase: float = option(1.0, "Share of texts that see their own block alone, at first; 0 at half time.")
    vocabulary: float = option(0.1, "Weight of the loss over the vocabulary.")
    feature: float = option(1.0, "Weight of the regression of features.")
    final: float = option(0.5, "With tli: share of that taken behind the target's last layers; paper: 0.")
    rate: float = option(6e-4, "Highest learning rate.")
    last_rate: float = option(3e-5, "Learning rate behind its fall.")
    warmup: int = option(50, "Steps until the highest rate.")
    decay: int = option(0, "Steps from the highest rate to the last; 0: the rest of the first pass.")
    clip: float = option(1.0, "Bound on the norm of all gradients; 0 for none.")
    weight_decay: float = option(0.0, "Weight decay.")
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """How these options optimise; the authors' 30 passes in batches of 32 texts."""
        schedule = Schedule(self.rate, self.last_rate, self.warmup, self.decay or None)
        return Recipe(schedule, weight_decay=self.weight_decay, clip=self.clip, epochs=30)

    def __attrs_post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise OptionError(f"expected blocks of {', '.join(BLOCKS)}, got {self.block!r}")
        if not 1 <= self.shortest <= self.longest:
            raise OptionError(f"expected 1 <= shortest <= longest, got {self.shortest} and {self.longest}")


class MoAMethod(Method):
    """Regresses the target's features, and what they say of the next token.

    With target layer inference of N layers, what is given (prompt and block starts) enters the target's last layers as
    the target computed it, and the rest as predicted (arXiv 2410.03804 and the code released with it).
    """

    head: MoAModel

    def __init__(self, head: MoAModel, parts: TargetParts, options: Options | None = None) -> None:
        """Train a head with parts of its target.

        Raises:
            OptionError: nothing would be learnt: with `tli` a token that is given teaches nothing, and all are.
        """
        super().__init__()
        self.head, self.parts, self.options = head.train(), parts, options or Options()
        if parts.layers and self.options.strict and self.options.block == "none":
            raise OptionError("expected blocks that hide something with tli, got block none and strict")
        self.recipe = self.options.recipe
        last, layers = int(parts.config.num_hidden_layers), len(parts.layers)
        self._bare = bool(head.config.disable_LSA)
        hidden = ((last,) if self._bare else ()) + ((last - layers,) if layers else ())
        self.needs = Needs(hidden, () if self._bare else tuple(range(last)))

    def forward(self, lesson: Lesson, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Give `loss` and its parts; see the golden files for their exact forms."""
        return self.losses(lesson, self._blocks(lesson, progress))

    def losses(self, lesson: Lesson, masks: Blocks) -> dict[str, Float[Tensor, ""]]:
        """Compute the losses under given masks."""
        batch, hidden = lesson.batch, lesson.features.hidden
        embedded = self.parts.embed(batch.tokens).to(self.head.dtype)
        feature: Tensor = self.head(embedded, self._memory(lesson), batch.positions, masks.own, masks.remembered)
        counted = batch.response
        if not self.parts.layers or hidden is None:
            return self._losses(lesson, feature, counted)
        truth = hidden[:, :, -1].to(feature.dtype)
        feature = torch.where(masks.given[..., None], truth, feature)
        if self.options.strict:  # what is given teaches nothing
            counted = counted & ~masks.given
        feature_in = feature.to(self.parts.dtype)
        rotary = angles(self.parts.rotary, feature_in, batch.positions)
        final = lean(LastLayers(self.parts), feature_in, rotary, _Causal(batch.positions, self.parts))
        scale = self.head.config.feature_scale
        return self._losses(lesson, final, counted, _regression(feature / scale, truth / scale, counted))

    def drafter(self) -> MoADrafter:
        """Draft with the head as it is."""
        return MoADrafter(self.head, self.parts)

    def _losses(
        self, lesson: Lesson, final: Tensor, counted: Bool[Tensor, "B T"], earlier: Tensor | None = None
    ) -> dict[str, Tensor]:
        options, weights = self.options, counted.flatten().float()
        summed = soft_cross_entropy(final.flatten(0, 1), lesson.last.flatten(0, 1), weights, self.parts.head)
        vocabulary, feature = summed / (weights.sum() + 1e-5), _regression(final, lesson.last, counted)
        if earlier is None:
            losses, regression = {"vocabulary": vocabulary, "feature": feature}, feature
        else:
            losses = {"vocabulary": vocabulary, "feature": feature, "earlier_feature": earlier}
            regression = options.final * feature + (1 - options.final) * earlier
        return {"loss": options.vocabulary * vocabulary + options.feature * regression, **losses}

    def _memory(self, lesson: Lesson) -> Float[Tensor, "B T E"]:
        features, dtype = lesson.features, self.head.dtype
        if self._bare and features.hidden is not None:
            return features.hidden[:, :, 0].to(dtype)
        if features.keys is None or features.values is None:
            raise OptionError("expected keys and values of all layers of the target, got none")
        keys, values = (part.to(dtype).flatten(0, 1)[None] for part in (features.keys, features.values))
        once, step = 2 * keys.numel() <= LARGE, keys.shape[1] * PART // (2 * keys.numel())
        if once and keys.device.type == "cpu":
            step = CACHED
        chunks = zip(*(torch.split(part, max(step, 1), 1) for part in (keys, values)), strict=True)
        if once:
            made = [self.head.remember(*chunk) for chunk in chunks]
        else:
            made = [checkpoint(self.head.remember, *chunk, use_reentrant=False) for chunk in chunks]
        return torch.cat(made, 1).view(*features.keys.shape[:2], -1)

    def _blocks(self, lesson: Lesson, progress: Progress) -> Blocks:
        batch, options = lesson.batch, self.options
        lengths, stairs = draw(batch.indices, progress, options)
        lengths, stairs = lengths.to(batch.tokens.device), stairs.to(batch.tokens.device)
        response = batch.response
        if options.block == "none":
            lengths = torch.ones_like(lengths)
        elif options.block == "whole":
            lengths = torch.zeros_like(lengths)
        return blocks(response, lengths, stairs, strict=options.strict)


def draw(indices: Int[Tensor, " B"], progress: Progress, options: Options) -> tuple[Tensor, Tensor]:
    """Draw each sequence's block length, and whether it has a staircase, by seed, pass and place in the data alone.

    However the run is cut into batches, processes or sittings, they are the same.
    """
    half = progress.epochs / 2
    share = options.staircase * max(1 - progress.epoch / half, 0.0) if half > 0 else 0.0
    lengths, stairs = [], []
    for index in indices.tolist():
        chance = np.random.Generator(
            np.random.Philox(key=[options.seed, index], counter=[int(progress.epoch), 0, 0, 0])
        )
        lengths.append(int(chance.integers(options.shortest, options.longest + 1)))
        stairs.append(bool(chance.random() < share))
    return torch.tensor(lengths), torch.tensor(stairs)


@takes(Options)
def method(
    model: PreTrainedModel,
    tokenizer: Any = None,
    seed: int = 0,
    tli: Annotated[int, "Layers of target layer inference: the target's last, run on what the head says."] = 0,
    lsa: Annotated[bool, "Layer self-attention over the keys and values of all layers."] = True,
    sizes: Annotated[str, "Sizes of the head other than the published proportions: field=value+field=value."] = "",
    scale: Annotated[float, "Size of features before the final norm, with tli; 0: measured; released: 1."] = 0.0,
    **options: Any,
) -> MoAMethod:
    """Begin a head for a target: `tli` layers of target layer inference, `lsa` for layer self-attention.

    `sizes` replaces sizes of the head, as `field=value` joined by `+`; `options` are those of `Options`.
    """
    config, parts = model.config.get_text_config(), TargetParts.of(model, tli)
    head = MoAModel(
        MoAConfig.for_target(
            config,
            target_layer_inference=tli,
            disable_LSA=not lsa,
            target=fingerprint(config, tokenizer),
            feature_scale=scale or _size(model, tli),
            **chosen_sizes(sizes, MoAConfig),
        )
    )
    return MoAMethod(head, parts, Options(seed=seed, **options))


@torch.no_grad()
def _size(model: PreTrainedModel, layers: int) -> float:
    """Measure what enters the target's last layers, which no norm bounds: the root mean square of a token's features.

    Of random tokens, the median, for some models give enormous features to the first.
    """
    if not layers:
        return 1.0
    tokens = torch.randint(
        model.config.get_text_config().vocab_size, (1, 256), generator=torch.Generator().manual_seed(0)
    )
    outputs = model(input_ids=tokens.to(model.device), output_hidden_states=True, logits_to_keep=1)
    return float(outputs.hidden_states[-1 - layers].float().square().mean(-1).sqrt().median())


def _regression(feature: Tensor, truth: Tensor, counted: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    distance = smooth_l1_loss(feature.float(), truth.float(), reduction="none").mean(-1)
    mean: Tensor = (distance * counted).sum() / (counted.sum() + 1e-5)
    return mean


class _Causal:
    """Masks of the target's last layers: all before, as far as a layer's window goes."""

    def __init__(self, positions: Int[Tensor, "B T"], parts: TargetParts) -> None:
        at = torch.arange(positions.shape[1], device=positions.device)
        self._distance, self._dtype = at[:, None] - at[None, :], parts.dtype

    def __call__(self, window: int | None) -> Tensor:
        hidden = self._distance < 0
        if window is not None:
            hidden = hidden | (self._distance >= window)
        mask = torch.zeros(hidden.shape, dtype=self._dtype, device=hidden.device)
        return mask.masked_fill(hidden, torch.finfo(self._dtype).min)[None, None]
