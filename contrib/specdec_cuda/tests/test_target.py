"""The verifier `cuda` says what `Target` says, and blocks once for each step."""

import pytest
import specdec_zoo
import torch
from batches import Batch
from pretending import gpu
from specdec_cuda import CudaTarget
from specdec_cuda.kernels.noise import noise
from specdec_cuda.match import MatchOnDevice
from transformers import LogitsProcessor, PreTrainedModel, RepetitionPenaltyLogitsProcessor

from specdec import (
    Decoder,
    Key,
    Keyed,
    OptionError,
    Sampling,
    Stop,
    Target,
    load_drafter,
    load_policy,
    load_rule,
    load_verifier,
)
from specdec.canonical import Floats
from specdec.chance import Probs
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import NonFiniteLogits
from specdec.testing import PretendedGPU, check_verifier
from tests.toys import build

__all__ = ["gpu"]

PROMPTS = [[5, 6, 7, 5, 6, 7, 5], [1, 2, 3]]
POLICY = "static:levels=3x2"
LEVELS = 2
KERNELS = {
    "greedy": (Sampling(), {"race_kernel", "walk_kernel"}),
    "sampled": (Sampling(1.0, seed=3), {"race_kernel", "walk_kernel", "noise_kernel"}),
    "cut": (Sampling(1.0, seed=3, top_k=20, top_p=0.9), {"race_kernel", "walk_kernel", "settle_kernel"}),
    "processed": (Sampling(0.8, seed=3, repetition_penalty=1.3, typical_p=0.9), {"race_kernel", "walk_kernel"}),
}
CASES = [pytest.param(*KERNELS[name], id=name, marks=[pytest.mark.slow] * (name != "cut")) for name in KERNELS]


def toy(seed: int = 1) -> PreTrainedModel:
    return build("llama", seed=seed, dtype=torch.float32, initializer_range=0.3)


def plain(sampling: Sampling | list[Sampling], tokens: int) -> tuple[tuple[int, ...], ...]:
    return Decoder(NoDrafter(), Target(toy())).generate(PROMPTS, sampling, Stop(tokens, tokens=())).tokens


@pytest.mark.parametrize(("sampling", "kernels"), CASES)
def test_the_text_is_the_target_s_and_a_step_blocks_once(
    gpu: PretendedGPU, sampling: Sampling, kernels: set[str]
) -> None:
    tokens = 6 if "settle_kernel" in kernels else 12
    target = CudaTarget(gpu.place(toy()))
    decoder = Decoder(SmallModel(gpu.place(toy(2))), target, load_policy(POLICY))
    gpu.launches.clear()
    stream, texts = decoder.stream(PROMPTS, sampling, Stop(tokens, tokens=())), [list[int](), list[int]()]
    gpu.crossings.clear()
    for step in stream:
        for text, new in zip(texts, step.tokens, strict=True):
            text += new
        assert len(gpu.blocking) <= LEVELS + 1
        assert sum(one.nbytes for one in gpu.blocking if "match.py" in one.where) <= 12 * len(PROMPTS)
        gpu.crossings.clear()

    assert tuple(map(tuple, texts)) == plain(sampling, tokens)
    assert kernels <= gpu.launches.keys()


def test_a_drafter_on_the_host_is_given_the_host_s_noise(gpu: PretendedGPU) -> None:
    sampling, stop = Sampling(1.0, seed=3), Stop(4, tokens=())
    decoder = Decoder(SmallModel(toy(2)), CudaTarget(gpu.place(toy())), load_policy("chain:length=1"))

    assert decoder.generate(PROMPTS, sampling, stop).tokens == plain(sampling, 4)
    assert "noise_kernel" not in gpu.launches


def test_kernels_refuse_tensors_of_the_host(gpu: PretendedGPU) -> None:
    keys = torch.zeros(2, dtype=torch.long)
    with pytest.raises(RuntimeError, match="expected tensors on the GPU for noise_kernel, got one on the CPU"):
        noise(keys, keys, torch.ones(2), 8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["moa", "moa-tli1", "eagle", "eagle3", "medusa"])
def test_heads_share_the_noise_that_kernels_make(gpu: PretendedGPU, kind: str) -> None:
    zoo, sampling, stop = Target.from_pretrained(specdec_zoo.path("target")), Sampling(1.0, seed=3), Stop(6, tokens=())
    wanted = Decoder(NoDrafter(), zoo).generate(["def add(a, b):"], sampling, stop).tokens
    target = CudaTarget(gpu.place(zoo.model), zoo.tokenizer)
    head = load_drafter(kind.split("-")[0], specdec_zoo.path(kind), target=target)
    gpu.clear()
    decoder = Decoder(head, target, load_policy(POLICY))

    found = decoder.generate(["def add(a, b):"], sampling, stop)

    assert found.tokens == wanted
    assert gpu.launches["noise_kernel"] >= found.metrics.steps
    assert len([one for one in gpu.blocking if "match.py" in one.where]) == found.metrics.steps


def test_sequences_of_all_kinds_share_a_batch() -> None:
    """Some are decided as they are, some processed, and some by a processor of the user's, node by node."""
    penalty = RepetitionPenaltyLogitsProcessor(1.3)
    own = Sampling(1.0, seed=1, processors=(penalty,))
    for options in ([Sampling(), own], [Sampling(0.5, typical_p=0.9), Sampling()]):
        decoder = Decoder(SmallModel(toy(2)), CudaTarget(toy()), load_policy(POLICY))
        assert decoder.generate(PROMPTS, options, Stop(6, tokens=())).tokens == plain(options, 6)


def test_the_largest_tree_may_be_one_that_the_host_decides_on() -> None:
    """So logits have nodes that no tree of the kernels has."""
    own = Sampling(processors=(RepetitionPenaltyLogitsProcessor(1.3),))
    samplings = [Sampling(1.0, seed=2), Sampling(1.0, seed=3, top_k=4), Sampling(0.5, repetition_penalty=1.2), own]
    batch = Batch.of(torch.randn(4, 9, 60, generator=torch.manual_seed(0)), samplings, [3, 2, 4, 9])

    assert MatchOnDevice().decide(batch.trees, batch.logits, batch.prefixes) == batch.expected()


@pytest.mark.filterwarnings("ignore:overflow encountered in multiply:RuntimeWarning")
@pytest.mark.parametrize("processors", [(), (RepetitionPenaltyLogitsProcessor(1.3),)])
def test_what_kernels_leave_to_the_host_is_decided_as_there(processors: tuple[LogitsProcessor, ...]) -> None:
    """In the same order of roundings: noise that overflows is not finite, whoever adds it."""
    sampling = Sampling(3e38, processors=processors)
    batch = Batch.of(torch.randn(2, 4, 130, generator=torch.manual_seed(0)), [sampling, Sampling(1.0)], [2, 4])

    assert batch.expected()[0] is NonFiniteLogits
    found = MatchOnDevice().decide(batch.trees, batch.logits, batch.prefixes)
    assert [type(one) if isinstance(one, Exception) else one for one in found] == batch.expected()


def test_a_top_k_of_any_size_cuts_nothing() -> None:
    batch = Batch.of(torch.randn(1, 2, 60, generator=torch.manual_seed(0)), [Sampling(1.0, top_k=2**31)], [2])

    assert MatchOnDevice().decide(batch.trees, batch.logits, batch.prefixes) == batch.expected()


@pytest.mark.parametrize("rule", ["rejection", "traversal"])
def test_other_rules_say_what_they_say_on_the_host(rule: str) -> None:
    sampling, stop, policy = Sampling(1.0, seed=2), Stop(8, tokens=()), "static:levels=2x2,sampled=true"
    texts = [
        Decoder(SmallModel(toy(2)), kind(toy(), rule=load_rule(rule)), load_policy(policy))
        .generate(PROMPTS, sampling, stop)
        .tokens
        for kind in (Target, CudaTarget)
    ]

    assert texts[0] == texts[1]


class Salted(Keyed):
    """Other noise than that of `Keyed`."""

    def noise(self, key: Key, size: int) -> Floats:
        return super().noise(key._replace(seed=key.seed + 1), size)

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        return super().draw(weights, count, key._replace(seed=key.seed + 1))


@pytest.mark.parametrize("rule", ["match", "rejection"])
def test_a_subclass_of_the_usual_chance_decides_on_the_host(rule: str) -> None:
    sampling, stop = Sampling(1.0, seed=3), Stop(4, tokens=())
    texts = [
        Decoder(NoDrafter(), kind(toy(), rule=load_rule(rule), chance=Salted()))
        .generate(PROMPTS, sampling, stop)
        .tokens
        for kind in (Target, CudaTarget)
    ]

    assert texts[0] == texts[1]
    assert texts[0] != plain(sampling, 4)


def test_it_is_a_verifier() -> None:
    check_verifier(lambda: CudaTarget(build("llama", dtype=torch.float32, vocab_size=12)), examples=2, steps=3)


def test_logits_that_are_not_finite_are_told() -> None:
    """As `Target` tells it."""
    errors = []
    for kind in (Target, CudaTarget):
        target = kind(toy())
        with torch.no_grad():
            target.model.lm_head.weight[3] = torch.nan
        with pytest.raises(Exception, match="finite") as caught:
            Decoder(NoDrafter(), target).generate(PROMPTS, stop=Stop(3, tokens=()))
        errors.append((type(caught.value), str(caught.value)))

    assert errors[0] == errors[1]


def test_without_a_gpu_it_names_the_verifier_that_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdec_cuda.interpreter.interpreted", lambda: False)

    with pytest.raises(OptionError, match=r"on a GPU .* got one on cpu; the verifier local"):
        CudaTarget(toy())
    with pytest.raises(OptionError, match="expected a device that is here"):
        load_verifier("cuda", specdec_zoo.path("draft"))
