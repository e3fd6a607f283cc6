"""Whatever the head says, the text is the target's; and what it says depends on the row alone."""

import pytest
import torch
from attrs import evolve

from specdec import Context, Decoder, Sampling, Step, Stop, Target, Tree, TreePolicy
from specdec.policies import Chain, Dynamic
from specdec_moa import MoADrafter, stack
from tests.plain import decode_plainly
from tests.specdec.grid import POLICIES
from tests.specdec_moa.heads import FAMILIES, drafter, target
from tests.toys import RAGGED

COUNT = 12
POLICY = Dynamic(depth=4, width=3, size=9)


class Recorder(MoADrafter):
    """Keeps its trees."""

    trees: list[Tree]

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        tree = super().propose(context, policy)
        self.trees.append(tree)
        return tree


def record(drafter: MoADrafter, prompts: list[list[int]], sampling: Sampling, count: int = COUNT) -> list[Tree]:
    drafter.__class__ = Recorder
    drafter.trees = []
    model = target(drafter.parts.config.model_type)
    Decoder(drafter, Target(model), POLICY).generate(prompts, [sampling] * len(prompts), Stop(count, tokens=()))
    return drafter.trees


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


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_large_vocabulary_is_not_read_beforehand(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, sampling = target(kind), Sampling(1.0, seed=2)
    usual = record(drafter(model), RAGGED, sampling)
    monkeypatch.setattr(stack, "LARGE", 0)
    other = record(drafter(model), RAGGED, sampling)
    assert [tree.tokens.tolist() for tree in usual] == [tree.tokens.tolist() for tree in other]
    for one, two in zip(usual, other, strict=True):
        torch.testing.assert_close(one.scores, two.scores)


@pytest.mark.parametrize("tli", [0, 2])
@pytest.mark.parametrize("cut", ["memory", "raw"])
def test_cuts_give_the_same_trees(cut: str, tli: int) -> None:
    model, sampling = target(), Sampling(1.0, seed=2)
    usual = record(drafter(model, tli), RAGGED, sampling)
    other = record(drafter(model, tli, cut), RAGGED, sampling)
    assert [tree.tokens.tolist() for tree in usual] == [tree.tokens.tolist() for tree in other]
    for one, two in zip(usual, other, strict=True):
        torch.testing.assert_close(one.scores, two.scores)


@pytest.mark.parametrize(("kind", "tli"), [("llama", 0), ("llama", 2), ("mistral", 2)])
def test_rows_do_not_see_each_other(kind: str, tli: int) -> None:
    model, sampling = target(kind), Sampling(0.7, seed=2)
    together = record(drafter(model, tli), RAGGED, sampling)
    for row, prompt in enumerate(RAGGED):
        for alone, batch in zip(record(drafter(model, tli), [prompt], sampling), together, strict=False):
            nodes = batch.nodes[row]
            assert alone.tokens[0, alone.nodes[0]].tolist() == batch.tokens[row, nodes].tolist()
            torch.testing.assert_close(alone.scores[0, alone.nodes[0]], batch.scores[row, nodes])


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

    def verify(self, tree: Tree) -> Step:
        step, self.steps = super().verify(tree), self.steps + 1
        return evolve(step, features=None) if self.steps in self.gone else step

    def prefill(self, *args: object) -> Step:
        step = super().prefill(*args)  # type: ignore[arg-type]
        return evolve(step, features=None) if 0 in self.gone else step


@pytest.mark.parametrize("tli", [0, 2])
@pytest.mark.parametrize("gone", [range(3, 6), range(4), range(99)])
def test_goes_on_without_features(gone: range, tli: int) -> None:
    model = target()
    verifier = Unreachable(model)
    verifier.gone = gone
    said = Decoder(drafter(model, tli), verifier, Chain(2)).generate(RAGGED[:3], stop=Stop(COUNT, tokens=()))
    for row, prompt in enumerate(RAGGED[:3]):
        assert said.tokens[row] == decode_plainly(model, tuple(prompt), Sampling(seed=row), COUNT)


def test_proposes_the_same_twice() -> None:
    model = target()
    guess = drafter(model, 1)
    verifier = Target(model)
    tokens, lengths = torch.tensor([RAGGED[0]]), torch.tensor([len(RAGGED[0])])
    step = verifier.prefill(tokens, lengths, guess.needs, [Sampling()])
    context = Context(tokens, lengths, lengths + 20, torch.tensor([False]), (Sampling(),), step)
    guess.begin(context)
    first, second = (guess.propose(context, POLICY) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    torch.testing.assert_close(first.scores, second.scores)
