"""Training of an EAGLE-1/2 head: its losses, the noise on what it reads, its authors' recipe."""

from typing import Annotated, Any

import torch
from attrs import frozen
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from specdec import Needs, find_model
from specdec.heads import TargetParts, feature_loss, fingerprint, keyed_generator, soft_cross_entropy
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
from specdec_eagle.checkpoint import load
from specdec_eagle.config import EagleConfig
from specdec_eagle.drafter import EagleDrafter
from specdec_eagle.model import EagleModel


@frozen
class Options:
    """What EAGLE and its version in the code of MoA do differently; the defaults are EAGLE's own."""

    noise: float = option(0.2, "Width of the uniform noise on features; 0 for none.")
    per_length: bool = option(True, "Scale the noise of a text by 512 over its length; MoA's version: not.")
    noisy_embeddings: bool = option(False, "The same noise on embeddings; MoA's version: yes.")
    vocabulary: float = option(0.1, "Weight of the loss over the vocabulary.")
    feature: float = option(1.0, "Weight of the regression of features.")
    rate: float = option(3e-5, "Highest learning rate; MoA's version: 6e-4.", above=True)
    last_rate: float = option(0.0, "Learning rate at the end of its fall; MoA's version: 3e-5.")
    warmup: int = option(2000, "Steps until the highest rate, at most a tenth of the run; MoA's version: 50.")
    decay: int = option(798_000, "Steps from the highest rate to the last; 0: the rest of the first pass, as MoA's.")
    clip_value: float = option(0.5, "Bound on each gradient; 0 for none, as in MoA's version.")
    clip: float = option(0.0, "Bound on the norm of all gradients; 0 for none; MoA's version: 1.")
    weight_decay: float = option(0.01, "Weight decay; MoA's version: 0.")
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """How these options optimise; EAGLE's own batch of 4 texts and 20 passes."""
        schedule = Schedule(self.rate, self.last_rate, self.warmup, self.decay or None, share=0.1)
        return Recipe(
            schedule, weight_decay=self.weight_decay, clip=self.clip, clip_value=self.clip_value, epochs=20, batch=4
        )


class EagleMethod(TrainingMethod):
    """Regresses the target's next feature, and what that says of the token after it.

    Li et al., "EAGLE", arXiv 2401.15077; weights, noise and means as in the code released with it.
    """

    head: EagleModel

    def __init__(self, head: EagleModel, parts: TargetParts, options: Options | None = None) -> None:
        super().__init__()
        self.head, self.parts, self.options = head.train(), parts, options or Options()
        self.needs, self.recipe = Needs(), self.options.recipe

    def forward(self, batch: TeacherBatch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Compute `loss` and its parts, means over the pairs of features that are learnt from and tokens after them."""
        texts, options = batch.texts, self.options
        embedded = self.parts.embed(texts.tokens[:, 1:]).to(self.head.dtype)
        features, truth = batch.last[:, :-1].to(self.head.dtype), batch.last[:, 1:]
        if options.noise > 0:
            embedded, features = self._disturb(batch, progress, embedded, features)
        predicted: Tensor = self.head(embedded, features, texts.positions[:, :-1])
        counted = texts.response[:, :-1] & texts.real[:, 1:]
        weights = counted.flatten().float()
        states = predicted.flatten(0, 1), truth.flatten(0, 1)
        heads = self.head.output(self.parts), self.parts.head
        total = soft_cross_entropy(*states, weights, *heads, self.head.tokens())
        vocabulary, feature = total / (weights.sum() + 1e-5), feature_loss(predicted, truth, counted)
        loss = options.vocabulary * vocabulary + options.feature * feature
        return {"loss": loss, "vocabulary": vocabulary, "feature": feature}

    def drafter(self) -> EagleDrafter:
        """Make a drafter that uses the head as it is."""
        return EagleDrafter(self.head, self.parts)

    def _disturb(
        self,
        batch: TeacherBatch,
        progress: Progress,
        embedded: Float[Tensor, "B T E"],
        features: Float[Tensor, "B T E"],
    ) -> tuple[Tensor, Tensor]:
        texts, options = batch.texts, self.options
        count = 2 if options.noisy_embeddings else 1
        noise = draw(texts.indices, progress, options, (count, *features.shape[1:]), features.device)
        scale = torch.full((len(noise),), options.noise, device=noise.device)
        if options.per_length:
            scale = scale * 512 / texts.real.sum(1)
        noise = (noise * scale[:, None, None, None]).to(features.dtype)
        return embedded + noise[:, 1] if options.noisy_embeddings else embedded, features + noise[:, 0]


def draw(
    indices: Int[Tensor, " B"], progress: Progress, options: Options, shape: tuple[int, ...], device: torch.device
) -> Float[Tensor, "B ..."]:
    """Draw numbers between -1/2 and 1/2 for each text."""
    noise = torch.empty(len(indices), *shape, device=device)
    for row, index in enumerate(indices.tolist()):
        noise[row].uniform_(-0.5, 0.5, generator=keyed_generator(options.seed, index, int(progress.epoch), device))
    return noise


MOA = Options(
    per_length=False,
    noisy_embeddings=True,
    rate=6e-4,
    last_rate=3e-5,
    warmup=50,
    decay=0,
    clip_value=0.0,
    clip=1.0,
    weight_decay=0.0,
)
"""The version that MoA was compared with, which has an `input_layernorm` too."""


@takes(Options)
def method(
    model: PreTrainedModel,
    tokenizer: Any = None,
    seed: int = 0,
    input_layernorm: Annotated[bool, "A norm before attention; EAGLE: not; MoA's version: yes."] = False,
    bias: Annotated[bool, "Whether fc has a bias; MoA's version and heads for Llama 3: not."] = True,
    draft_vocab: Annotated[int, "Size of the draft vocabulary: the tokens that answers use most; 0: all."] = 0,
    sizes: Annotated[str, "Sizes of the head other than the target's layer: field=value+field=value."] = "",
    start: Annotated[str, START] = "",
    **options: Any,
) -> EagleMethod:
    """Begin a head for a target, or `start` from one; `options` are those of `Options`.

    Raises:
        OptionError: a value means nothing.
        UnsupportedModel: heads are not for targets of its family.
        WrongCheckpoint: the head to start from is damaged, or made for another target.
    """
    check_start(start, input_layernorm=input_layernorm, bias=not bias, draft_vocab=draft_vocab != 0, sizes=bool(sizes))
    config, parts, chosen = model.config.get_text_config(), TargetParts.of(model), Options(seed=seed, **options)
    if start:
        head = load(EagleModel, find_model(start), parts, tokenizer)
        return continued(EagleMethod(head, parts, chosen), fingerprint(config, tokenizer))
    head = EagleModel(
        EagleConfig.for_target(
            config,
            bias=bias,
            input_layernorm=input_layernorm,
            draft_vocab_size=min(draft_vocab, config.vocab_size),
            target=fingerprint(config, tokenizer),
            **chosen_sizes(sizes, EagleConfig),
        )
    )
    return EagleMethod(head, parts, chosen)
