"""Whatever the head says, the text is the target's; and what it says depends on the row alone."""

from collections.abc import Sequence

import pytest
from attrs import evolve

from specdec import Context, Decoder, Sampling, Step, Stop, Target, Tree, TreePolicy
from specdec.policies import Chain, Dynamic
from tests.plain import decode_plainly
from tests.specdec.grid import POLICIES
from tests.specdec.heads.trees import Trees, check_same
from tests.specdec.heads.trees import record as record_trees
from tests.specdec_moa.heads import FAMILIES, drafter, target
from tests.toys import RAGGED

COUNT = 12
POLICY = Dynamic(depth=4, width=3, size=9)


def record(kind: str, tli: int, prompts: list[list[int]], sampling: Sampling, cut: str = "projected") -> list[Trees]:
    return record_trees(drafter(target(kind), tli, cut), target(kind), POLICY, prompts, sampling, COUNT)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("tli", [0, 2])
def test_text_is_the_targets(policy: str, temperature: float, tli: int) -> None:
    check_text("llama", POLICIES[policy], temperature, tli)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("tli", [0, 1, 3])
def test_families(kind: str, tli: int) -> None:
    check_text(kind, POLICY, 1.0, tli)


def check_text(kind: str, policy: TreePolicy, temperature: float, tli: int) -> None:
    model, sampling = target(kind), Sampling(temperature, seed=3)
    said = Decoder(drafter(model, tli), Target(model), policy).generate(RAGGED, sampling, Stop(COUNT, tokens=()))
    expected = [
        decode_plainly(model, tuple(prompt), options, COUNT)
        for prompt, options in zip(RAGGED, sampling.spread(len(RAGGED)), strict=True)
    ]
    assert list(said.tokens) == expected


@pytest.mark.parametrize("tli", [0, 2])
@pytest.mark.parametrize("cut", ["memory", "raw"])
def test_cuts_give_the_same_trees(cut: str, tli: int) -> None:
    sampling = Sampling(1.0, seed=2)
    usual, other = record("llama", tli, RAGGED, sampling), record("llama", tli, RAGGED, sampling, cut)
    for one, two in zip(usual, other, strict=True):
        check_same(one, two)


@pytest.mark.parametrize(("kind", "tli"), [("llama", 0), ("llama", 2), ("mistral", 2)])
def test_sequences_do_not_see_each_other(kind: str, tli: int) -> None:
    sampling = Sampling(0.7, seed=2)
    together = record(kind, tli, RAGGED, sampling)
    for sequence, prompt in enumerate(RAGGED):
        for alone, batch in zip(record(kind, tli, [prompt], sampling), together, strict=False):
            check_same(alone, batch[sequence : sequence + 1])


@pytest.mark.parametrize("tli", [0, 1])
def test_head_without_layer_self_attention(tli: int) -> None:
    model = target()
    bare = drafter(model, tli, disable_LSA=True)
    assert bare.needs.hidden_states == (4,)
    said = Decoder(bare, Target(model), POLICY).generate([RAGGED[0]], stop=Stop(COUNT, tokens=()))
    assert said.tokens[0] == decode_plainly(model, tuple(RAGGED[0]), Sampling(), COUNT)


class Unreachable(Target):
    """Gives no features from some step to another, as a verifier does whose target is out of reach."""

    gone = range(0)
    steps = 0

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        step, self.steps = super().verify(trees), self.steps + 1
        return evolve(step, features=()) if self.steps in self.gone else step

    def prefill(self, *args: object) -> Step:
        step = super().prefill(*args)  # type: ignore[arg-type]
        return evolve(step, features=()) if 0 in self.gone else step


@pytest.mark.parametrize("tli", [0, 2])
@pytest.mark.parametrize("gone", [range(3, 6), range(4), range(99)])
def test_continues_without_features(gone: range, tli: int) -> None:
    model = target()
    verifier = Unreachable(model)
    verifier.gone = gone
    said = Decoder(drafter(model, tli), verifier, Chain(2)).generate(RAGGED[:3], stop=Stop(COUNT, tokens=()))
    for row, prompt in enumerate(RAGGED[:3]):
        assert said.tokens[row] == decode_plainly(model, tuple(prompt), Sampling(seed=row), COUNT)


def test_proposes_the_same_twice() -> None:
    model = target()
    guess, tokens = drafter(model, 1), RAGGED[0]
    step = Target(model).prefill([tokens], guess.needs, [Sampling()])
    context = Context([tokens], [len(tokens) + 20], [False], (Sampling(),), step)
    guess.begin(context)
    first, second = (guess.propose(context, POLICY) for _ in range(2))
    check_same(first, second)
