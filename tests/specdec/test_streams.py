"""Streams that are open at the same time: each gives its own text, or says that another took its place."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice, zip_longest
from threading import Barrier

import pytest

from specdec import Context, Decoder, Drafter, Sampling, Step, Stop, Target, Tree, TreePolicy
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.errors import BatchReplaced, NonFiniteLogits, PromptError
from specdec.policies import Chain, Static
from tests.plain import decode_plainly
from tests.toys import RAGGED, Wrong, build, perturbed, tiny

STOP = Stop(10, tokens=())
WARM = Sampling(1.0, seed=3)
Texts = tuple[tuple[int, ...], ...]

KEEPS_NOTHING: list[Callable[[], Drafter]] = [NoDrafter, Ngram]
KEEPS_STATE: list[Callable[[], Drafter]] = [lambda: SmallModel(perturbed()), lambda: Wrong(tiny())]


class OneBatch(Target):
    """Has no room for a second batch."""

    def view(self) -> "OneBatch":
        return self


def plain(prompts: list[list[int]], sampling: Sampling = WARM) -> Texts:
    rows = zip(prompts, sampling.spread(len(prompts)), strict=True)
    return tuple(decode_plainly(tiny(), tuple(prompt), row, 10) for prompt, row in rows)


def texts(steps: list[Step]) -> Texts:
    return tuple(tuple(chain.from_iterable(parts)) for parts in zip(*(step.tokens for step in steps), strict=True))


def zipped(first: Iterator[Step], second: Iterator[Step]) -> tuple[Texts, Texts]:
    """Read both, step by step in turn."""
    one, other = [list(filter(None, steps)) for steps in zip(*zip_longest(first, second), strict=True)]
    return texts(one), texts(other)


@pytest.mark.parametrize("make", [*KEEPS_NOTHING, *KEEPS_STATE])
def test_two_streams_on_one_target_each_give_their_own_text(make: Callable[[], Drafter]) -> None:
    """Of batches of different sizes, read in turn; each has a drafter of its own."""
    target = Target(tiny())
    one, other = Decoder(make(), target, Static((2, 2))), Decoder(make(), target, Chain(3))
    said = zipped(one.stream(RAGGED[:3], WARM, STOP), other.stream(RAGGED[2:4], WARM, STOP))

    assert said == (plain(RAGGED[:3]), plain(RAGGED[2:4]))


@pytest.mark.parametrize("make", KEEPS_NOTHING)
def test_two_streams_of_one_decoder_each_give_their_own_text(make: Callable[[], Drafter]) -> None:
    """If its drafter keeps nothing."""
    decoder = Decoder(make(), Target(tiny()), Static((2, 2)))
    said = zipped(decoder.stream(RAGGED[:3], WARM, STOP), decoder.stream(RAGGED[2:], WARM, STOP))

    assert said == (plain(RAGGED[:3]), plain(RAGGED[2:]))


def test_one_prompt_with_two_seeds_gives_two_texts() -> None:
    decoder = Decoder(Ngram(), Target(tiny()))
    other = Sampling(1.0, seed=4)
    said = zipped(decoder.stream(RAGGED[0], WARM, STOP), decoder.stream(RAGGED[0], other, STOP))

    assert said == (plain([RAGGED[0]]), plain([RAGGED[0]], other))
    assert said[0] != said[1]


@pytest.mark.parametrize("first", [0, 1])
def test_streams_may_be_read_one_after_the_other_in_any_order(first: int) -> None:
    """However long one of them waits."""
    decoder, prompts = Decoder(Ngram(), Target(tiny())), [RAGGED[:2], RAGGED[2:]]
    streams = [decoder.stream(prompt, WARM, STOP) for prompt in prompts]
    begun = [[next(stream)] for stream in streams]
    for number in (first, 1 - first):
        begun[number] += streams[number]

    assert [texts(steps) for steps in begun] == [plain(prompt) for prompt in prompts]


def test_streams_of_several_threads_give_their_own_texts() -> None:
    """All on one target, each with batch after batch."""
    target, together = Target(tiny()), Barrier(4)

    def run(number: int) -> list[Texts]:
        decoder = Decoder([NoDrafter, Ngram, *KEEPS_STATE][number](), target, Static((2, 1)))
        together.wait()
        return [texts(list(decoder.stream(RAGGED[number : number + count], WARM, STOP))) for count in (2, 1)]

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(run, range(4)))

    assert said == [[plain(RAGGED[number : number + count]) for count in (2, 1)] for number in range(4)]
    assert not target.sessions._open


@pytest.mark.parametrize("make", KEEPS_STATE)
@pytest.mark.parametrize("read_second", [0, 1, 99])
def test_a_stream_whose_drafter_began_another_says_so(make: Callable[[], Drafter], read_second: int) -> None:
    """However far the other has come; the other's text is its own."""
    decoder = Decoder(make(), Target(tiny()), Chain(2))
    first = decoder.stream(RAGGED[:2], WARM, STOP)
    begun = [next(first)]
    second = decoder.stream(RAGGED[2:], WARM, STOP)
    steps = list(islice(second, read_second))
    with pytest.raises(BatchReplaced, match=f"expected {type(decoder.drafter).__name__} to hold this stream's batch"):
        next(first)

    assert texts(begun) == tuple(text[: len(said)] for text, said in zip(plain(RAGGED[:2]), texts(begun), strict=True))
    assert texts([*steps, *second]) == plain(RAGGED[2:])


@pytest.mark.parametrize("make", [*KEEPS_NOTHING, *KEEPS_STATE])
def test_a_stream_whose_decoder_was_closed_says_so_and_holds_nothing(make: Callable[[], Drafter]) -> None:
    target = Target(tiny())
    with Decoder(make(), target, Chain(2)) as decoder:
        stream = decoder.stream(RAGGED, WARM, STOP)
        next(stream)
    assert not target.sessions._open
    with pytest.raises(BatchReplaced, match="but it was closed or another stream began on it"):
        next(stream)


@pytest.mark.parametrize("moment", ["begin", "propose"])
def test_a_drafter_that_fails_since_another_thread_began_on_it_says_so(moment: str) -> None:
    """What of its state the other has changed by then may make it fail in any way."""

    class Torn(SmallModel):
        torn = False

        def tear(self, now: str) -> None:
            if now == moment and not self.torn:
                self.torn = True
                decoder.stream(RAGGED[2:], WARM, STOP)
                raise RuntimeError("shapes differ")

        def begin(self, context: Context) -> None:
            self.tear("begin")
            super().begin(context)

        def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
            self.tear("propose")
            return super().propose(context, policy)

    decoder = Decoder(Torn(perturbed()), Target(tiny()), Chain(2))
    with pytest.raises(BatchReplaced, match="expected Torn to hold this stream's batch"):
        list(decoder.stream(RAGGED[:2], WARM, STOP))

    assert texts(list(decoder.stream(RAGGED[:2], WARM, STOP))) == plain(RAGGED[:2])


@pytest.mark.parametrize("make", KEEPS_STATE)
def test_threads_that_share_a_drafter_get_their_texts_or_are_told(make: Callable[[], Drafter]) -> None:
    decoder, together = Decoder(make(), Target(tiny()), Chain(2)), Barrier(2)

    def run(number: int) -> list[Texts | None]:
        together.wait()
        return [attempt(RAGGED[number : number + 1]) for _ in range(12)]

    def attempt(prompts: list[list[int]]) -> Texts | None:
        try:
            return texts(list(decoder.stream(prompts, WARM, STOP)))
        except BatchReplaced:
            return None

    with ThreadPoolExecutor(2) as pool:
        for number, said in enumerate(pool.map(run, range(2))):
            assert set(said) <= {None, plain(RAGGED[number : number + 1])}


def test_a_stream_whose_verifier_began_another_says_so() -> None:
    """A verifier may have room for one batch alone."""
    decoder = Decoder(NoDrafter(), OneBatch(tiny()))
    first, second = decoder.stream(RAGGED[0], WARM, STOP), decoder.stream(RAGGED[0], Sampling(1.0, seed=4), STOP)
    with pytest.raises(BatchReplaced, match="expected OneBatch to hold this stream's batch"):
        next(first)

    assert texts(list(second)) == plain([RAGGED[0]], Sampling(1.0, seed=4))


@pytest.mark.parametrize("make", [*KEEPS_NOTHING, *KEEPS_STATE])
def test_a_refused_prompt_leaves_an_open_stream_alone(make: Callable[[], Drafter]) -> None:
    decoder = Decoder(make(), Target(tiny()), Chain(2))
    stream = decoder.stream(RAGGED[:2], WARM, STOP)
    steps = [next(stream)]
    with pytest.raises(PromptError):
        decoder.stream([[99]], WARM, STOP)
    metrics = decoder.metrics
    steps += stream

    assert texts(steps) == plain(RAGGED[:2])
    assert metrics.summary().tokens == 20


@pytest.mark.parametrize("make", KEEPS_STATE)
def test_a_stream_whose_decoder_was_closed_says_so(make: Callable[[], Drafter]) -> None:
    with Decoder(make(), Target(tiny()), Static((2, 2))) as decoder:
        stream = decoder.stream(RAGGED, WARM, STOP)
        next(stream)
    with pytest.raises(BatchReplaced, match="it was closed"):
        next(stream)

    assert texts(list(decoder.stream(RAGGED, WARM, STOP))) == plain(RAGGED)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("make", [*KEEPS_NOTHING, *KEEPS_STATE])
def test_a_stream_that_is_dropped_frees_its_sessions(make: Callable[[], Drafter], steps: int) -> None:
    """When the next one begins, whether or not its first step was ever asked for."""
    target = Target(tiny())
    decoder = Decoder(make(), target)
    stream = decoder.stream(RAGGED, WARM, STOP)
    for _ in range(steps):
        next(stream)
    del stream
    gc.collect()
    following = decoder.stream(RAGGED[:2], WARM, STOP)

    assert len(target.sessions._open) == 2
    assert texts(list(following)) == plain(RAGGED[:2])
    assert not target.sessions._open


def test_a_stream_that_fails_frees_its_sessions() -> None:
    model = build("llama")
    target, embedding = Target(model), model.get_input_embeddings().weight
    whole = embedding[50].clone()
    embedding[50] = float("nan")
    with pytest.raises(NonFiniteLogits):
        Decoder(NoDrafter(), target).generate([[1, 2, 3], [50, 3]], WARM, STOP)
    embedding[50] = whole
    gc.collect()
    stream = Decoder(NoDrafter(), target).stream(RAGGED[0], WARM, STOP)

    assert len(target.sessions._open) == 1
    assert texts(list(stream)) == (decode_plainly(model, tuple(RAGGED[0]), WARM, 10),)


@pytest.mark.parametrize("make", [*KEEPS_NOTHING, *KEEPS_STATE])
def test_a_decoder_may_be_used_again_and_again(make: Callable[[], Drafter]) -> None:
    """Whole streams in turn, with `generate` between them."""
    decoder = Decoder(make(), Target(tiny()), Static((2, 2)))
    for prompts in (RAGGED[:2], RAGGED[1:], RAGGED[:2]):
        assert texts(list(decoder.stream(prompts, WARM, STOP))) == plain(prompts)
        assert decoder.generate(prompts, WARM, STOP).tokens == plain(prompts)
