"""Training of a Mixture of Attentions head: its loss, its masks drawn anew in each pass, its authors' recipe."""

from typing import Any

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import smooth_l1_loss
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from specdec.data import Needs
from specdec.errors import OptionError
from specdec.training import Lesson, Method, Progress, Recipe, Schedule, soft_cross_entropy
from specdec_moa.checkpoint import fingerprint
from specdec_moa.config import MoAConfig
from specdec_moa.drafter import MoADrafter
from specdec_moa.masks import Blocks, blocks
from specdec_moa.model import MoAModel
from specdec_moa.parts import TargetParts

LARGE = 2**24
"""Numbers per batch in the memory's input above which it is made in parts, each a second time on the way back."""
BLOCKS = ("variable", "whole", "none")


@frozen
class Options:
    """What the paper and the released code leave open; the defaults are theirs unless said otherwise.

    `block`: answers are cut at multiples of a length that is drawn for each (`variable`), left `whole`, or not
    hidden at all (`none`: every token sees the memory of all before it). `strict`: hide a block start's own memory from
    it, as when drafting; the released code shows it. `staircase`: how many of the sequences see only
    their own block in self-attention at the start, falling to none over the first half of training. `final`: share of
    the feature loss that is taken after the target's last layers; the paper has none of it.
    """

    block: str = field(default="variable")
    shortest: int = 6
    longest: int = 14
    strict: bool = True
    staircase: float = 1.0
    vocabulary: float = 0.1
    feature: float = 1.0
    final: float = 0.5
    seed: int = 0

    @block.validator
    def _known(self, _: object, block: str) -> None:
        if block not in BLOCKS:
            raise OptionError(f"expected blocks of {', '.join(BLOCKS)}, got {block!r}")


RECIPE = Recipe(Schedule(peak=6e-4, base=3e-5, warmup=50), epochs=30)


class MoAMethod(Method):
    """Regresses the target's features, and what they say of the next token.

    With target layer inference of N layers, what is given (prompt and block starts) enters the target's last layers as
    the target computed it, and the rest as predicted (`drafters.md`, sections 4 and 5).
    """

    head: MoAModel
    recipe = RECIPE

    def __init__(self, head: MoAModel, parts: TargetParts, options: Options | None = None) -> None:
        super().__init__()
        self.head, self.parts, self.options = head.train(), parts, options or Options()
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
        final = self.parts.finish(feature.to(self.parts.dtype), batch.positions, _Causal(batch.positions, self.parts))
        return self._losses(lesson, final, counted, _regression(feature, truth, counted))

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
        keys, values = features.keys.to(dtype), features.values.to(dtype)
        if 2 * keys.numel() <= LARGE:
            return self.head.remember(keys, values)
        step = max(keys.shape[1] * LARGE // (2 * keys.numel()), 1)
        chunks = zip(torch.split(keys, step, 1), torch.split(values, step, 1), strict=True)
        return torch.cat([checkpoint(self.head.remember, *chunk, use_reentrant=False) for chunk in chunks], 1)

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


def method(
    model: PreTrainedModel,
    tokenizer: Any = None,
    seed: int = 0,
    tli: int = 0,
    lsa: bool = True,
    sizes: str = "",
    **options: Any,
) -> MoAMethod:
    """Begin a head for a target: `tli` layers of target layer inference, `lsa` for layer self-attention.

    `sizes` replaces sizes of the head, as `field=value` joined by `+`; `options` are those of `Options`.
    """
    config = model.config.get_text_config()
    chosen = {name: int(size) for name, _, size in (part.partition("=") for part in sizes.split("+") if part)}
    head = MoAModel(
        MoAConfig.for_target(
            config,
            target_layer_inference=tli,
            disable_LSA=not lsa,
            target=fingerprint(config, tokenizer),
            **chosen,
        )
    )
    return MoAMethod(head, TargetParts.of(model, tli), Options(seed=seed, **options))


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
