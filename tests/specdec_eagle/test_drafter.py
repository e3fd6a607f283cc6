"""Whatever the head says, the text is the target's; and what it says depends on the row alone."""

from collections.abc import Sequence

import pytest
from attrs import evolve

from specdec import Context, Decoder, Sampling, Step, Stop, Target, Tree, TreePolicy, Verifier
from specdec.policies import Chain, Dynamic
from specdec.testing import check_drafter
from specdec_eagle import EagleDrafter
from tests.plain import decode_plainly
from tests.specdec.grid import POLICIES
from tests.specdec.heads.trees import Trees, check_same
from tests.specdec.heads.trees import record as record_trees
from tests.specdec_eagle.heads import FAMILIES, NAMES, drafter, target
from tests.toys import RAGGED

COUNT = 6
POLICY = Dynamic(depth=4, width=3, size=9)


def check_text(name: str, kind: str, policy: TreePolicy, temperature: float, prompts: list[list[int]]) -> None:
    model, sampling = target(kind), Sampling(temperature, seed=3)
    said = Decoder(drafter(name, model), Target(model), policy).generate(prompts, sampling, Stop(COUNT, tokens=()))
    expected = [
        decode_plainly(model, tuple(prompt), options, COUNT)
        for prompt, options in zip(prompts, sampling.spread(len(prompts)), strict=True)
    ]
    assert list(said.tokens) == expected


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_text_is_the_targets(name: str, policy: str, temperature: float) -> None:
    for prompts in (RAGGED[:1], RAGGED[:3]):
        check_text(name, "llama", POLICIES[policy], temperature, prompts)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_families(name: str, kind: str, temperature: float) -> None:
    for prompts in (RAGGED[:1], RAGGED):
        check_text(name, kind, POLICY, temperature, prompts)


@pytest.mark.parametrize("name", NAMES)
def test_passes_the_kit(name: str) -> None:
    """With a target of two layers, and the whole vocabulary."""

    def factory(verifier: Verifier) -> EagleDrafter:
        return drafter(name, verifier.model, **({} if name == "eagle" else {"draft_vocab_size": 0}))  # type: ignore[attr-defined]

    check_drafter(factory)


def record(name: str, prompts: list[list[int]], gone: range) -> list[Trees]:
    verifier = Unreachable(target(), gone)
    return record_trees(drafter(name, target()), verifier, POLICY, prompts, Sampling(0.7, seed=2), COUNT)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gone", [range(0), range(2, 4)])
def test_sequences_do_not_see_each_other(name: str, gone: range) -> None:
    together = record(name, RAGGED, gone)
    for sequence, prompt in enumerate(RAGGED):
        for alone, batch in zip(record(name, [prompt], gone), together, strict=False):
            check_same(alone, batch[sequence : sequence + 1])


class Unreachable(Target):
    """Gives no features in some of the steps, as a verifier does whose target is out of reach."""

    def __init__(self, model: object, gone: range) -> None:
        super().__init__(model)  # type: ignore[arg-type]
        self.gone, self.steps = gone, 0

    def prefill(self, *args: object) -> Step:
        step, self.steps = super().prefill(*args), 0  # type: ignore[arg-type]
        return evolve(step, features=()) if 0 in self.gone else step

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        step, self.steps = super().verify(trees), self.steps + 1
        return evolve(step, features=()) if self.steps in self.gone else step


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gone", [range(3, 6), range(4), range(99)])
def test_continues_without_features(name: str, gone: range) -> None:
    model = target()
    said = Decoder(drafter(name, model), Unreachable(model, gone), Chain(2)).generate(
        RAGGED[:3], stop=Stop(COUNT, tokens=())
    )
    for row, prompt in enumerate(RAGGED[:3]):
        assert said.tokens[row] == decode_plainly(model, tuple(prompt), Sampling(seed=row), COUNT)


@pytest.mark.parametrize("name", NAMES)
def test_drafts_on_from_its_own_features(name: str) -> None:
    """Cut off, it drafts after its own tree's path what it would have drafted in a deeper tree."""
    guess = drafter(name, target())
    context = read(guess, RAGGED[0])
    deep = tokens_of(guess.propose(context, Chain(6)))
    guess.begin(context)
    assert tokens_of(guess.propose(context, Chain(2))) == deep[:3]
    step = Step([deep[1:4]], [2])
    assert tokens_of(guess.propose(context.extend(step, context.done), Chain(3))) == deep[3:]


def tokens_of(trees: Trees) -> list[int]:
    (tree,) = trees
    assert tree is not None
    return tree.tokens


def read(guess: EagleDrafter, prompt: list[int]) -> Context:
    step = Target(target()).prefill([prompt], guess.needs, [Sampling()])
    context = Context([prompt], [len(prompt) + 20], [False], (Sampling(),), step)
    guess.begin(context)
    return context


@pytest.mark.parametrize("name", NAMES)
def test_proposes_the_same_twice(name: str) -> None:
    guess = drafter(name, target())
    context = read(guess, RAGGED[0])
    first, second = (guess.propose(context, POLICY) for _ in range(2))
    check_same(first, second)


def test_drafts_no_token_outside_of_the_draft_vocabulary() -> None:
    guess = drafter("eagle3", target())
    trees = guess.propose(read(guess, RAGGED[0]), Dynamic(depth=4, width=50, size=300))
    drafted = set(tokens_of(trees)[1:])
    assert drafted <= set(guess.model.tokens().tolist())
    assert len(drafted) > 30


def test_an_encoder_hashes_its_weights_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a target elsewhere is told the digest with each prompt."""
    hashed = list[object]()
    monkeypatch.setattr("specdec_eagle.drafter.weights_digest", lambda *parts: hashed.append(parts) or "digest")
    encoder = drafter("eagle3", target("llama")).needs.encoder

    assert encoder is not None
    assert encoder.digest == encoder.digest == "digest"
    assert len(hashed) == 1
