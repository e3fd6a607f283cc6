"""Features that arrive late, in parts, for some sequences of a batch: each drafts as it would alone."""

from collections.abc import Callable, Sequence

import pytest
from attrs import evolve
from transformers import PreTrainedModel

from specdec import Context, Features, Sampling, Step, Target, Tree, TreePolicy
from specdec.heads import HeadDrafter
from specdec.policies import Chain, Dynamic
from specdec.remote.features import together
from specdec.split.text import Part
from tests.specdec.heads.trees import Trees, check_same, record
from tests.specdec_eagle import heads as eagle
from tests.specdec_moa import heads as moa

POLICY = Dynamic(depth=3, width=3, size=8)
PROMPTS = [[n * 7 % 40 + 3 for n in range(29)], [n * 5 % 31 + 2 for n in range(12)], [9, 4]]
HEADS: dict[str, Callable[[PreTrainedModel], HeadDrafter]] = {
    "moa": lambda model: moa.drafter(model),
    "moa:tli=2": lambda model: moa.drafter(model, 2),
    "eagle": lambda model: eagle.drafter("eagle", model),
    "eagle3": lambda model: eagle.drafter("eagle3", model),
}


def read(model: PreTrainedModel, drafter: HeadDrafter, prompt: list[int]) -> Features:
    """Read what the drafter needs of a prompt."""
    (part,) = Target(model).prefill([prompt], drafter.needs, [Sampling()]).features
    return part.features


def parts(features: Features, size: int) -> list[Part]:
    """Cut a prompt's features into parts, the last first, as they come over a line."""
    starts = range(0, features.count, size)
    return [Part(start, features.part(start, min(start + size, features.count)), {}) for start in reversed(starts)]


def proposals(
    drafter: HeadDrafter, prompts: list[list[int]], rows: Sequence[Sequence[Part]]
) -> list[list[Tree | None]]:
    """Draft after each part, with nothing decided in between."""
    count, drafted = len(prompts), list[list[Tree | None]]()
    for place in range(max(map(len, rows))):
        late = together([row[place : place + 1] for row in rows])
        step = Step([[] for _ in prompts], [0] * count, late)
        limits = [len(prompt) + 20 for prompt in prompts]
        context = Context(prompts, limits, [False] * count, (Sampling(),) * count, step)
        if not place:
            drafter.begin(context)
        drafted.append(drafter.propose(context, POLICY))
    return drafted


@pytest.mark.parametrize("name", HEADS)
def test_sequences_learn_as_they_would_alone(name: str) -> None:
    model = moa.target()
    drafter = HEADS[name](model)
    rows = [parts(read(model, drafter, prompt), 4 + 3 * row) for row, prompt in enumerate(PROMPTS)]
    batch = proposals(drafter, PROMPTS, rows)
    for row, prompt in enumerate(PROMPTS):
        for alone, all_of_them in zip(proposals(drafter, [prompt], [rows[row]]), batch, strict=False):
            check_same(alone, all_of_them[row : row + 1])


@pytest.mark.parametrize("name", HEADS)
def test_features_of_tokens_that_were_cut_off_are_nobody_s(name: str) -> None:
    model = moa.target()
    drafter = HEADS[name](model)
    features = read(model, drafter, PROMPTS[0])
    short = PROMPTS[0][:3]
    late = together([[Part(10, features.part(10, 14), {})], [Part(20, features.part(20, 24), {})]])
    step = Step([[], []], [0, 0], late)
    context = Context([short, short], [20, 20], [False, False], (Sampling(),) * 2, step)
    drafter.begin(context)
    assert context.features == []
    assert all(tree is not None and len(tree) > 1 for tree in drafter.propose(context, POLICY))


class Seldom(Dynamic):
    """Drafts in every fourth step."""

    step = 0

    def begin(self, unread: int, room: int, observed: bool) -> None:
        object.__setattr__(self, "step", self.step + 1)

    def observe(self, trees: Sequence[Tree | None], step: Step, drafting: float, verifying: float) -> None:
        """Learn nothing; but only a policy that learns hears when steps begin."""

    def widths(self, tree: Tree) -> dict[int, int]:
        return super().widths(tree) if self.step % 4 == 0 else {}


def drafted(name: str, temperature: float, *, diligent: bool) -> tuple[list[Trees], int]:
    """Decode with a head that reads in each step, or when it drafts; give its trees, and how often it read.

    One sequence ends before anything is drafted, and one later than the others.
    """
    model, calls = moa.target(), list[int]()
    drafter = HEADS[name](model)
    propose, learn = drafter.propose, drafter.learn

    def read_first(context: Context, policy: TreePolicy) -> list[Tree | None]:
        propose(context, Chain(1))
        return propose(evolve(context, step=evolve(context.step, features=())), policy)

    def count(features: Features, starts: Sequence[int], lengths: Sequence[int]) -> None:
        calls.append(1)
        learn(features, starts, lengths)

    drafter.learn = count  # type: ignore[method-assign]
    if diligent:
        drafter.propose = read_first  # type: ignore[method-assign]
    policy, sampling = Seldom(depth=3, width=3, size=8), Sampling(temperature, seed=3)
    return record(drafter, Target(model), policy, PROMPTS, sampling, (2, 24, 12)), len(calls)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_what_is_read_at_once_is_what_would_be_read_step_by_step(name: str, temperature: float) -> None:
    """Nothing is read before something is drafted."""
    late, reads = drafted(name, temperature, diligent=False)
    early, more = drafted(name, temperature, diligent=True)

    assert 0 < reads == sum(any(tree is not None and len(tree) > 1 for tree in step) for step in late)
    assert more > 2 * reads
    for one, other in zip(early, late, strict=True):
        check_same(one, other)
