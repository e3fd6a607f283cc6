"""On machines whose times are given, `auto` is about as fast as the best of many shapes, or as none."""

from collections.abc import Sequence
from random import Random
from threading import Thread

import pytest

from specdec import Decoder, Drafter, Sampling, Step, Stop, Target, Tree, TreePolicy, load_drafter, load_policy
from specdec.drafters import Ngram, NoDrafter
from specdec.policies import Auto, Chain
from specdec.rules import Rejection
from tests.specdec.contexts import context_of
from tests.specdec.policies.curves import in_parts, late, never, often, packed, rarely, seldom, steep, steps, wide
from tests.specdec.policies.machine import Guesser, Machine, Seconds, speed
from tests.toys import tiny

SHAPES = (
    *("chain:length=1", "chain:length=3", "chain:length=6", "chain:length=12", "static:levels=2x1", "static:levels=4"),
    *("dynamic:depth=3,width=4,size=12", "dynamic:depth=6,width=4,size=24", "adaptive:size=8,depth=8,width=1"),
)


TEXTS = [(often, 0.0003, 0.3), (rarely, 0.0003, 1.0), (seldom, 0.005, 0.3), (in_parts, 0.0003, 1.0), (late, 0.005, 1.0)]


@pytest.mark.parametrize("seconds", [wide, steps, packed])
@pytest.mark.parametrize(("chances", "level", "honest"), TEXTS)
def test_it_is_never_slower_than_plain_decoding(
    seconds: Seconds, chances: Seconds, level: float, honest: float
) -> None:
    """From the first token on, whatever the drafter knows and claims."""

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, level, chances, honest, silent=True)

    auto = Auto()
    for tokens in (100, 400, 400):
        assert speed(auto, drafter, seconds, tokens=tokens) > 0.97 / seconds(1)


@pytest.mark.parametrize("seconds", [wide, steps, packed])
@pytest.mark.parametrize(("chances", "level", "honest"), TEXTS[:-1])
def test_it_is_never_slower_than_a_fixed_shape(seconds: Seconds, chances: Seconds, level: float, honest: float) -> None:
    """Or plain decoding, once it has seen a text."""

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, level, chances, honest, silent=True)

    auto = Auto()
    speed(auto, drafter, seconds, tokens=500)
    fixed = speed(load_policy(Ngram.policy), drafter, seconds, tokens=500)

    assert speed(auto, drafter, seconds, tokens=500) > 0.97 * max(1 / seconds(1), fixed)


@pytest.mark.parametrize(
    ("seconds", "chances", "honest"),
    [(wide, in_parts, 1.0), (wide, often, 0.3), (steps, in_parts, 3.0), (steps, often, 1.0), (steep, often, 1.0)],
)
def test_it_is_as_fast_as_the_best_fixed_shape(seconds: Seconds, chances: Seconds, honest: float) -> None:
    """However sure or unsure the drafter claims to be."""

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, 0.001, chances, honest)

    auto = Auto()
    speed(auto, drafter, seconds, tokens=250)
    learnt = speed(auto, drafter, seconds, tokens=150)
    fixed = {shape: speed(load_policy(shape), drafter, seconds, tokens=150) for shape in SHAPES}
    plain = speed(Chain(), lambda machine: NoDrafter(), seconds, tokens=150)

    assert learnt > 0.93 * max(plain, *fixed.values())


@pytest.mark.parametrize(
    ("seconds", "level", "options"),
    [
        (wide, 0.01, {}),
        (steps, 0.0001, {}),
        (steep, 0.01, {}),
        (steps, 0.01, {"rows": 4}),
        (steps, 0.01, {"noise": 0.3}),
    ],
)
def test_it_does_not_draft_what_is_never_right(seconds: Seconds, level: float, options: dict[str, float]) -> None:
    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, level, never)

    plain = speed(Chain(), lambda machine: NoDrafter(), seconds, tokens=400, **options)

    assert speed(Auto(), drafter, seconds, tokens=400, **options) > (0.95 if "noise" in options else 0.97) * plain


def test_it_notices_when_the_drafter_becomes_right() -> None:
    """After long it tries again, and continues as long as that pays."""

    def late(position: int) -> float:
        return 0.95 if position > 300 else 0.0

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, 0.001, late)

    assert speed(Auto(), drafter, steps, tokens=900) > 1.3 * speed(Chain(), lambda _: NoDrafter(), steps, tokens=900)


def test_the_same_times_give_the_same_shapes() -> None:
    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, 0.001, in_parts)

    first, second = (speed(Auto(), drafter, steps, tokens=100, noise=0.2) for _ in range(2))

    assert first == second


class Told(Chain):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "steps", [])

    def observe(self, trees: Sequence[Tree | None], step: Step, drafting: float, verifying: float) -> None:
        self.steps.append((trees, step, drafting, verifying))  # type: ignore[attr-defined]


def test_policies_are_told_what_drafting_and_verifying_took() -> None:
    machine, policy = Machine(lambda nodes: 2.0 * nodes), Told()
    metrics = Decoder(Guesser(machine, 0.25, often), machine, policy, clock=machine.clock)
    tokens = metrics.generate([[0], [1]], stop=Stop(20)).tokens

    told = policy.steps  # type: ignore[attr-defined]
    decided = [[token for _, step, _, _ in told for token in step.tokens[row]] for row in range(2)]
    assert all(all_of[-len(row) :] == tuple(row) for all_of, row in zip(tokens, decided, strict=True))
    assert all(0 < len(all_of) - len(row) <= 5 for all_of, row in zip(tokens, decided, strict=True))  # the first step
    for trees, _, drafting, verifying in told:
        read = [tree for tree in trees if tree]
        assert verifying == 2.0 * len(read) * max(map(len, read))
        assert drafting == 0.25 * max(tree.depth for tree in read)


def test_no_shape_depends_on_time_where_texts_depend_on_shapes() -> None:
    policy = Told()
    with pytest.warns(UserWarning, match=r"the drafter's own policy takes its place: adaptive"):
        decoder = Decoder(Ngram(), Target(tiny(), rule=Rejection()), policy)
    decoder.generate([[1, 2, 1, 2]], Sampling(1.0), Stop(8))

    assert str(decoder.policy) == str(load_policy(Ngram.policy))
    assert not policy.steps  # type: ignore[attr-defined]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_do_not_depend_on_time(temperature: float) -> None:
    """Whatever a clock says, even one that runs backwards."""
    target, sampling, stop = Target(tiny()), Sampling(temperature, seed=3), Stop(30, tokens=())
    prompts = [[1, 2, 3, 1, 2], [4, 4]]
    plain = Decoder(NoDrafter(), target).generate(prompts, sampling, stop).tokens
    random = Random(1)
    for clock in (random.random, lambda: random.choice([0.0, 1e9, -1e9])):
        decoder = Decoder(Ngram(shortest=0), target, Auto(), clock=clock)
        assert decoder.generate(prompts, sampling, stop).tokens == plain


def test_streams_in_several_threads_may_share_it() -> None:
    target, policy, texts = Target(tiny()), Auto(), list[tuple[tuple[int, ...], ...]]()
    stop, prompts = Stop(30, tokens=()), [[1, 2, 3, 1, 2], [4, 4]]

    def decode() -> None:
        texts.append(Decoder(Ngram(shortest=0), target, policy).generate(prompts, stop=stop).tokens)

    threads = [Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert texts == [Decoder(NoDrafter(), target).generate(prompts, stop=stop).tokens] * 4


@pytest.mark.parametrize("policy", [Auto(), Chain(), load_policy(Ngram.policy)], ids=repr)
def test_without_a_match_ngram_drafts_nothing(policy: TreePolicy) -> None:
    (tree,) = load_drafter("ngram").propose(context_of([[1, 2, 3, 4]]), policy)

    assert tree is not None
    assert len(tree) == 1
