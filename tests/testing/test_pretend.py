"""The pretended GPU computes what a CPU computes, and counts what a host would wait for."""

from collections.abc import Callable, Iterator

import pytest
import specdec_zoo
import torch
from torch import Tensor

from specdec import Decoder, Drafter, Sampling, Stop, Target, load_drafter, load_policy, upload
from specdec.drafters import SmallModel
from specdec.errors import UnsupportedModel
from specdec.testing import PretendedGPU, pretended_gpu
from specdec.testing.pretend import on_host
from tests.toys import build

HOST = torch.arange(12.0).view(3, 4)
COUNTED: dict[str, tuple[Callable[[Tensor], object], list[tuple[str, int, bool]]]] = {
    "a copy back": (lambda x: x.cpu(), [("down", 48, True)]),
    "a copy back that is not waited for": (lambda x: x.to("cpu", non_blocking=True), [("down", 48, False)]),
    "its numbers": (lambda x: x.tolist(), [("down", 48, True)]),
    "one of them": (lambda x: x[1, 2].item(), [("down", 4, True)]),
    "a decision": (lambda x: bool(x.sum() > 0), [("down", 1, True)]),
    "comparing two": (lambda x: torch.equal(x, x), [("down", 48, True)]),
    "where they are": (lambda x: x.nonzero(), [("wait", 0, True)]),
    "a mask as an index": (lambda x: x[x > 3], [("wait", 0, True)]),
    "a list as an index": (lambda x: x[[0, 2]], [("up", 16, True)]),
    "an index of the host's": (lambda x: x[torch.tensor([0, 2])], [("up", 16, True)]),
    "a copy there": (lambda x: HOST.to(x.device), [("up", 48, True)]),
    "a copy there that cannot be left alone": (lambda x: HOST.to(x.device, non_blocking=True), [("up", 48, True)]),
    "a copy from pinned memory": (lambda x: HOST.pin_memory().to(x.device, non_blocking=True), [("up", 48, False)]),
    "several together": (lambda x: upload(x.device, HOST, HOST[0]), [("up", 64, False)]),
    "a tensor made there of a list": (lambda x: torch.tensor([1, 2], device=x.device), [("up", 16, True)]),
    "a part": (lambda x: x[1:, ::2], []),
    "zeros made there": (lambda x: torch.zeros(5, device=x.device), []),
    "arithmetic": (lambda x: (x @ x.T).softmax(-1).where(x[:, :3] > 1, 0), []),
}


@pytest.fixture
def gpu() -> Iterator[PretendedGPU]:
    with pretended_gpu() as gpu:
        yield gpu


@pytest.mark.parametrize(("do", "crossings"), COUNTED.values(), ids=list(COUNTED))
def test_what_crosses_is_counted(gpu: PretendedGPU, do: Callable[[Tensor], object], crossings: list[object]) -> None:
    tensor = HOST.to("cuda")
    gpu.clear()

    do(tensor)

    assert [(one.kind, one.nbytes, one.blocks) for one in gpu.crossings] == crossings


OPERATIONS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x[[2, 0]] * 2,
    lambda x: x.clone().index_put_((torch.tensor([0], device=x.device),), torch.ones(4, device=x.device)),
    lambda x: torch.cat([x, x.flip(0)]).sort(-1).values,
    lambda x: torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True),
    lambda x: x.half().to(torch.float64).cumsum(-1),
    lambda x: x.scatter(1, torch.zeros(3, 1, dtype=torch.int64, device=x.device), -1.0),
]


def changed(x: Tensor) -> Tensor:
    """Change parts of a copy in place, by numbers, lists and tensors."""
    y = x.clone()
    y[0] += y[1]
    y[1:, [0, 3]] = 7
    y[2, 1:] = y[0, :3]
    return y


@pytest.mark.parametrize("operation", [*OPERATIONS, changed])
def test_it_computes_what_a_cpu_computes(gpu: PretendedGPU, operation: Callable[[Tensor], Tensor]) -> None:
    there = operation(HOST.to("cuda"))

    assert there.device.type == "cuda"
    assert there.is_cuda
    assert torch.equal(on_host(there), operation(HOST))


def test_devices_do_not_mix(gpu: PretendedGPU) -> None:
    tensor = HOST.to("cuda")

    with pytest.raises(RuntimeError, match="cuda:0 and cpu, by add"):
        tensor + HOST
    with pytest.raises(TypeError, match="got one on cuda:0"):
        tensor.numpy()
    half = build("llama")
    gpu.place(half.model.layers[0])
    with pytest.raises(UnsupportedModel, match="cuda:0 and cpu"):
        Target(half)


def test_its_tensors_are_of_no_use_without_it() -> None:
    with pretended_gpu():
        tensor = HOST.to("cuda")

    with pytest.raises(RuntimeError, match="outside"):
        tensor.tolist()


@pytest.fixture(scope="module")
def zoo() -> Target:
    return Target.from_pretrained(specdec_zoo.path("target"))


HEADS = ("moa", "moa-tli1", "eagle", "eagle3", "medusa")
POLICY = "static:levels=3x2"
LEVELS = 2


def head(kind: str, target: Target) -> Drafter:
    return load_drafter(kind.split("-")[0], specdec_zoo.path(kind), target=target)


@pytest.mark.parametrize("temperature", [1.0, pytest.param(0.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", HEADS)
def test_heads_block_once_for_each_level(zoo: Target, kind: str, temperature: float) -> None:
    prompts, sampling, stop = ["def add(a, b):", "class A:"], Sampling(temperature, seed=3), Stop(12, tokens=())
    plain = Decoder(head(kind, zoo), zoo, load_policy(POLICY)).generate(prompts, sampling, stop).tokens

    with pretended_gpu() as gpu:
        model = gpu.place(Target.from_pretrained(specdec_zoo.path("target")).model)
        target = Target(model, zoo.tokenizer)
        texts, blocked = decoded(gpu, Decoder(head(kind, target), target, load_policy(POLICY)), prompts, sampling, stop)

    assert texts == plain
    assert max(blocked) <= LEVELS + 1


@pytest.mark.parametrize("policy", [POLICY, f"{POLICY},sampled=true"])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, seed=5)], ids=repr)
@pytest.mark.parametrize("kind", ["none", "ngram", "small_model"])
def test_other_drafters_block_once_for_each_level(kind: str, sampling: Sampling, policy: str) -> None:
    def drafter(place: Callable[[torch.nn.Module], torch.nn.Module]) -> Drafter:
        return SmallModel(place(build("llama", seed=2))) if kind == "small_model" else load_drafter(kind)

    prompts, stop = [[5, 6, 7, 5, 6, 7, 5], [1, 2, 3]], Stop(16, tokens=())
    plain = Decoder(drafter(lambda model: model), Target(build("llama", seed=1)), load_policy(policy))
    wanted = plain.generate(prompts, sampling, stop).tokens

    with pretended_gpu() as gpu:
        decoder = Decoder(drafter(gpu.place), Target(gpu.place(build("llama", seed=1))), load_policy(policy))
        texts, blocked = decoded(gpu, decoder, prompts, sampling, stop)

    assert texts == wanted
    assert max(blocked) <= (LEVELS if kind == "small_model" else 0) + 1


def decoded(
    gpu: PretendedGPU, decoder: Decoder, prompts: object, sampling: Sampling, stop: Stop
) -> tuple[tuple[tuple[int, ...], ...], list[int]]:
    """Decode; give the texts, and how often each step blocked."""
    stream = decoder.stream(prompts, sampling, stop)  # type: ignore[arg-type]
    texts, blocked = list[list[int]](), list[int]()
    gpu.clear()
    for step in stream:
        texts = texts or [[] for _ in step.tokens]
        for text, new in zip(texts, step.tokens, strict=True):
            text += new
        blocked.append(len(gpu.blocking))
        gpu.clear()
    return tuple(map(tuple, texts)), blocked
