"""Tokens per second with one verifier or another, for drafts of a quality that is given."""

from collections.abc import Callable, Iterator

import torch
from attrs import evolve, frozen
from transformers import LlamaForCausalLM

from specdec import Decoder, Sampling, Step, Stop, Target, load_drafter
from specdec_cuda.bench.counting import Scripted
from specdec_cuda.target import CudaTarget

VERIFIERS: dict[str, type[Target]] = {"local": Target, "cuda": CudaTarget}
TAUS = (2, 3, 4, 5)
"""Tokens of a step, the bonus token included."""
PROMPT = 128
"""Tokens of a prompt."""
WARM_UP = 4
"""The part of a text that is decoded before, so that all is compiled, is one in so many."""

Timer = Callable[[Callable[[], object]], float | None]
"""Runs something, and gives the seconds that it took; None where they mean nothing."""


@frozen
class Case:
    """How texts are decoded."""

    batch: int
    temperature: float
    nodes: int
    tokens: int


@frozen
class Row:
    """One measurement. Plain decoding has a `tau` of 1, and `speedup` is over it with the verifier `local`."""

    verifier: str
    batch: int
    temperature: float
    tau: int
    measured_tau: float
    as_scripted: bool
    """Whether the text is the one that the model is known to say."""
    tokens_per_second: float | None
    speedup: float | None = None


def decoding(model: LlamaForCausalLM, case: Case, timer: Timer) -> Iterator[Row]:
    """Decode plainly with the verifier `local`, then with each verifier and each tau."""
    plain: Row | None = None
    for name, kind in VERIFIERS.items():
        target = kind(model)
        for tau in TAUS if plain else (1, *TAUS):
            drafter = load_drafter("none") if tau == 1 else Scripted(tau - 1, case.nodes, target.vocab_size)
            row = _measured(name, Decoder(drafter, target), tau, case, timer)
            plain = plain or row
            if row.tokens_per_second and plain.tokens_per_second:
                row = evolve(row, speedup=row.tokens_per_second / plain.tokens_per_second)
            yield row
        target.close()


def _measured(name: str, decoder: Decoder, tau: int, case: Case, timer: Timer) -> Row:
    """Decode a few tokens to warm up, and then those that count; prompts are read before the time begins."""
    size = decoder.verifier.vocab_size
    prompts = [[(PROMPT * row + place) % size for place in range(PROMPT)] for row in range(case.batch)]
    sampling = Sampling(case.temperature, seed=1)
    list(decoder.stream(prompts, sampling, Stop(max(case.tokens // WARM_UP, 1), tokens=())))
    steps, stream = list[Step](), decoder.stream(prompts, sampling, Stop(case.tokens, tokens=()))
    seconds = timer(lambda: steps.extend(stream))
    texts = [[token for step in steps for token in step.tokens[row]] for row in range(case.batch)]
    right = all(
        text == [(prompt[-1] + 1 + place) % size for place in range(case.tokens)]
        for prompt, text in zip(prompts, texts, strict=True)
    )
    whole = steps[:-1] or steps  # the last one is cut
    measured_tau = sum(sum(step.lengths) for step in whole) / (case.batch * len(whole))
    speed = seconds and case.batch * case.tokens / seconds
    return Row(name, case.batch, case.temperature, tau, measured_tau, right, speed)


def on_gpu(run: Callable[[], object]) -> float:
    """Time something by the GPU's own clock."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def untimed(run: Callable[[], object]) -> None:
    """Run something whose time means nothing."""
    run()
