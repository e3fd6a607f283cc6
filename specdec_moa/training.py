"""Training of a Mixture of Attentions head: its loss, its masks drawn again in each pass, its authors' recipe."""

from typing import Annotated, Any

import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from specdec import Needs, OptionError, find_model
from specdec.heads import TargetParts, causal, feature_loss, fingerprint, keyed_generator, soft_cross_entropy
from specdec.training import (
    START,
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
from specdec_moa.blocks import Blocks, blocks
from specdec_moa.checkpoint import load
from specdec_moa.config import MoAConfig
from specdec_moa.drafter import MoADrafter
from specdec_moa.last import LastLayers
from specdec_moa.model import MoAModel, recomputed

LARGE = 2**24
"""Numbers per batch in the memory's input above which it is made in parts, each a second time in the backward pass."""
PART = 2**21
"""Numbers in the input of such a part; what is stored of it for the backward pass is some 15 times as much."""
CACHED = 256
"""Tokens whose memory a CPU makes at a time, so that what it touches stays in its cache."""
BLOCKS = ("variable", "whole", "none")


@frozen
class Options:
    """What the paper and the released code leave open; the defaults are theirs unless a description says otherwise."""

    block: str = option("variable", "Answers cut at multiples of a drawn length; or whole; or none: nothing is hidden.")
    shortest: int = option(6, "Shortest block.")
    longest: int = option(14, "Longest block.")
    strict: bool = option(True, "Hide a block start's own memory from it, as in drafting; released: not.")
    staircase: float = option(1.0, "Share of texts that see their own block alone, at first; 0 at half time.", high=1)
    vocabulary: float = option(0.1, "Weight of the loss over the vocabulary.")
    feature: float = option(1.0, "Weight of the regression of features.")
    final: float = option(0.5, "With tli: share of that taken after the target's last layers; paper: 0.", high=1)
    rate: float = option(6e-4, "Highest learning rate.", above=True)
    last_rate: float = option(3e-5, "Learning rate after its fall.")
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
            raise OptionError(f"expected blocks to be one of {', '.join(BLOCKS)}, got {self.block!r}")
        if not 1 <= self.shortest <= self.longest:
            raise OptionError(f"expected 1 <= shortest <= longest, got {self.shortest} and {self.longest}")


class MoAMethod(TrainingMethod):
    """Regresses the target's features, and what they say of the next token.

    With target layer inference of N layers, verified tokens (prompt and block starts) enter the target's last layers
    as the target computed them, and the rest as predicted (arXiv 2410.03804 and the code released with it).
    """

    head: MoAModel

    def __init__(self, head: MoAModel, parts: TargetParts, options: Options | None = None) -> None:
        """Train a head with parts of its target.

        Raises:
            OptionError: nothing would be learnt: with `tli` a verified token teaches nothing, and all are.
        """
        super().__init__()
        self.head, self.parts, self.options = head.train(), parts, options or Options()
        if parts.layers and self.options.strict and self.options.block == "none":
            raise OptionError("expected blocks that hide something with tli, got block none and strict")
        self.recipe = self.options.recipe
        last, layers = int(parts.config.num_hidden_layers), len(parts.layers)
        self._without_lsa = bool(head.config.disable_LSA)
        hidden = ((last,) if self._without_lsa else ()) + ((last - layers,) if layers else ())
        self.needs = Needs(hidden, () if self._without_lsa else tuple(range(last)))

    def forward(self, batch: TeacherBatch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Compute `loss` and its parts; see the golden files for their exact forms."""
        return self.losses(batch, self._blocks(batch, progress))

    def losses(self, batch: TeacherBatch, masks: Blocks) -> dict[str, Float[Tensor, ""]]:
        """Compute the losses with these masks."""
        texts, hidden = batch.texts, batch.features.hidden
        embedded = self.parts.embed(texts.tokens).to(self.head.dtype)
        feature: Tensor = self.head(embedded, self._memory(batch), texts.positions, masks.own, masks.remembered)
        if not self.parts.layers or hidden is None:
            return self._losses(batch, feature, texts.response)
        truth = hidden[:, :, -1].to(feature.dtype)
        feature = torch.where(masks.verified[..., None], truth, feature)
        counted = texts.response & ~masks.verified if self.options.strict else texts.response
        entering = feature.to(self.parts.dtype)
        rotary, size = self.parts.rotary(entering, texts.positions), entering.shape[1]
        final = recomputed(
            LastLayers(self.parts), entering, rotary, lambda window: causal(size, window, entering.device)[None, None]
        )
        scale = self.head.config.feature_scale
        return self._losses(batch, final, counted, feature_loss(feature / scale, truth / scale, counted))

    def drafter(self) -> MoADrafter:
        """Make a drafter that uses the head as it is."""
        return MoADrafter(self.head, self.parts)

    def _losses(
        self, batch: TeacherBatch, final: Tensor, counted: Bool[Tensor, "B T"], earlier: Tensor | None = None
    ) -> dict[str, Tensor]:
        options, weights = self.options, counted.flatten().float()
        states = final.flatten(0, 1), batch.last.flatten(0, 1)
        heads = self.head.output(self.parts), self.parts.head
        total = soft_cross_entropy(*states, weights, *heads, self.head.tokens())
        vocabulary, feature = total / (weights.sum() + 1e-5), feature_loss(final, batch.last, counted)
        losses, regression = {"vocabulary": vocabulary, "feature": feature}, feature
        if earlier is not None:
            losses["earlier_feature"] = earlier
            regression = options.final * feature + (1 - options.final) * earlier
        return {"loss": options.vocabulary * vocabulary + options.feature * regression, **losses}

    def _memory(self, batch: TeacherBatch) -> Float[Tensor, "B T E"]:
        features, dtype = batch.features, self.head.dtype
        if self._without_lsa and features.hidden is not None:
            return features.hidden[:, :, 0].to(dtype)
        if features.keys is None or features.values is None:
            raise OptionError("expected keys and values of all layers of the target, got none")
        keys, values = (part.to(dtype).flatten(0, 1)[None] for part in (features.keys, features.values))
        once, step = 2 * keys.numel() <= LARGE, max(keys.shape[1] * PART // (2 * keys.numel()), 1)
        if once:
            step = CACHED if keys.device.type == "cpu" else keys.shape[1]
        memories = [
            self.head.remember(*chunk) if once else checkpoint(self.head.remember, *chunk, use_reentrant=False)
            for chunk in zip(torch.split(keys, step, 1), torch.split(values, step, 1), strict=True)
        ]
        return torch.cat(memories, 1).view(*features.keys.shape[:2], -1)

    def _blocks(self, batch: TeacherBatch, progress: Progress) -> Blocks:
        texts, options = batch.texts, self.options
        lengths, stairs = (part.to(texts.tokens.device) for part in draw(texts.indices, progress, options))
        if options.block == "none":
            lengths = torch.ones_like(lengths)
        elif options.block == "whole":
            lengths = torch.zeros_like(lengths)
        return blocks(texts.response, lengths, stairs, strict=options.strict)


def draw(
    indices: Int[Tensor, " B"], progress: Progress, options: Options
) -> tuple[Int[Tensor, " B"], Bool[Tensor, " B"]]:
    """Draw each text's block length, and whether it has a staircase."""
    half = progress.epochs / 2
    share = options.staircase * max(1 - progress.epoch / half, 0.0) if half > 0 else 0.0
    lengths, stairs = [], []
    for index in indices.tolist():
        generator = keyed_generator(options.seed, index, int(progress.epoch))
        lengths.append(int(torch.randint(options.shortest, options.longest + 1, (), generator=generator)))
        stairs.append(bool(torch.rand((), generator=generator) < share))
    return torch.tensor(lengths), torch.tensor(stairs)


@takes(Options)
def method(
    model: PreTrainedModel,
    tokenizer: Any = None,
    seed: int = 0,
    tli: Annotated[int, "Layers of target layer inference: the target's last, run on what the head says."] = 0,
    lsa: Annotated[bool, "Layer self-attention over the keys and values of all layers."] = True,
    draft_vocab: Annotated[int, "Size of the draft vocabulary: the tokens that answers use most; 0: all."] = 0,
    sizes: Annotated[str, "Sizes of the head other than the published proportions: field=value+field=value."] = "",
    scale: Annotated[float, "Size of features before the final norm, with tli; 0: measured; released: 1."] = 0.0,
    start: Annotated[str, START] = "",
    **options: Any,
) -> MoAMethod:
    """Begin a head for a target: `tli` layers of target layer inference, `lsa` for layer self-attention.

    `sizes` replaces sizes of the head, as `field=value` joined by `+`; `options` are those of `Options`. A head to
    `start` from keeps its sizes, and its layers of target layer inference unless `tli` is given: the published format
    does not say how many it had.

    Raises:
        OptionError: a value means nothing.
        UnsupportedModel: heads are not for targets of its family.
        WrongCheckpoint: the head to start from is damaged, or made for another target.
    """
    if scale < 0:
        raise OptionError(f"expected a scale of at least 0, got {scale}")
    check_start(start, lsa=not lsa, draft_vocab=draft_vocab != 0, sizes=bool(sizes), scale=scale > 0)
    config, chosen = model.config.get_text_config(), Options(seed=seed, **options)
    if start:
        head = load(find_model(start), config, tokenizer)
        layers = head.config.target_layer_inference = tli or head.config.target_layer_inference
        return continued(MoAMethod(head, TargetParts.of(model, layers), chosen), fingerprint(config, tokenizer))
    parts = TargetParts.of(model, tli)
    head = MoAModel(
        MoAConfig.for_target(
            config,
            target_layer_inference=tli,
            disable_LSA=not lsa,
            draft_vocab_size=min(draft_vocab, config.vocab_size),
            target=fingerprint(config, tokenizer),
            feature_scale=scale or _size(model, tli),
            **chosen_sizes(sizes, MoAConfig),
        )
    )
    return MoAMethod(head, parts, chosen)


@torch.no_grad()
def _size(model: PreTrainedModel, layers: int) -> float:
    """Measure what enters the target's last layers, which no norm bounds: the root mean square of a token's features.

    The median over random tokens: some models give enormous features to the first.
    """
    if not layers:
        return 1.0
    tokens = torch.randint(
        model.config.get_text_config().vocab_size, (1, 256), generator=torch.Generator().manual_seed(0)
    )
    outputs = model(input_ids=tokens.to(model.device), output_hidden_states=True, logits_to_keep=1)
    return float(outputs.hidden_states[-1 - layers].float().square().mean(-1).sqrt().median())
