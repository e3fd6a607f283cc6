"""Processors of any kind under any rule: those that remember, those that compare oddly, those of other dtypes."""

import gc
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from specdec import Context, Decoder, Drafter, Rule, Sampling, Stop, Target, Tree, TreePolicy, hookimpl
from specdec.chance import Keyed, Noise
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.errors import OptionError
from specdec.hookspecs import Register
from specdec.plugins import load_processor, plugins, processor_spec
from specdec.policies import Static
from specdec.prefix import Prefix
from specdec.rules import Lenient, Match, Rejection, Traversal, Typical
from specdec.sampling import scores
from tests.toys import RAGGED, VOCAB, Restless, Scripted, build, perturbed, tiny

COUNT = 8
EXACT = {"match": Match(), "rejection": Rejection(), "traversal": Traversal()}


class Counts(LogitsProcessor):
    """Favours what depends on how often it was asked, and checks that it is asked about each token once, in order."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.lengths.append(input_ids.shape[-1])
        favourite = (7 * len(self.lengths) + int(input_ids[0, -1])) % VOCAB
        return scores.index_add(-1, torch.tensor([favourite]), scores.new_full((1, 1), 4.0))


class Follows(LogitsProcessor):
    """Goes through a list of allowed tokens, as grammars do that advance by the token they are shown."""

    def __init__(self, script: list[list[int]]) -> None:
        self.script, self.state, self.started = script, 0, False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.started:
            if int(input_ids[0, -1]) not in self.script[self.state % len(self.script)]:
                raise RuntimeError("expected a token that was allowed")
            self.state += 1
        self.started = True
        allowed = self.script[self.state % len(self.script)]
        return torch.full_like(scores, -torch.inf).index_copy(-1, torch.tensor(allowed), scores[:, allowed])


@dataclass
class Unhashable(LogitsProcessor):
    bias: float = 1.0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.index_fill(-1, input_ids[0, -1:] % VOCAB, self.bias)


@dataclass(frozen=True)
class Named(LogitsProcessor):
    """Compared by its name alone."""

    name: str
    allowed: tuple[int, ...] = field(compare=False)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        hidden = torch.ones_like(scores, dtype=torch.bool).index_fill(-1, torch.tensor(self.allowed), False)
        return scores.masked_fill(hidden, -torch.inf)


class Changes(LogitsProcessor):
    """Gives another dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return (8 * scores).round().to(self.dtype)


MAKERS: dict[str, Any] = {
    "counts": Counts,
    "follows": lambda: Follows([[3, 9, 4, 8], [5, 6, 7], [1, 2], list(range(30, 50))]),
    "unhashable": Unhashable,
    "pure": Restless,
    "half": lambda: Changes(torch.float16),
    "bfloat16": lambda: Changes(torch.bfloat16),
    "double": lambda: Changes(torch.float64),
    "whole numbers": lambda: Changes(torch.int64),
}


class Bushy(Drafter):
    """Proposes what the target is likely to say, and much that it does not."""

    def __init__(self) -> None:
        self.inner = SmallModel(perturbed())

    def begin(self, context: Context) -> None:
        self.inner.begin(context)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        return self.inner.propose(context, Static((4, 2)))


def generate(prompt: list[int], sampling: Sampling, processor: LogitsProcessor) -> list[int]:
    """What transformers says greedily."""
    ids = torch.tensor([prompt])
    said: Any = tiny().generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=COUNT,
        repetition_penalty=sampling.repetition_penalty,
        logits_processor=LogitsProcessorList([processor]),
    )
    tokens: list[int] = said[0, len(prompt) :].tolist()
    return tokens


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize("drafter", [NoDrafter, Ngram, Bushy])
@pytest.mark.parametrize("name", MAKERS)
def test_greedy_texts_are_those_of_generate(name: str, drafter: type[Drafter], rule: str) -> None:
    """One instance for each sequence; it is asked as `generate` asks it, whatever the tree."""
    sampling = Sampling(repetition_penalty=1.2)
    expected = tuple(tuple(generate(prompt, sampling, MAKERS[name]())) for prompt in RAGGED[:2])
    samplings = [Sampling(repetition_penalty=1.2, processors=MAKERS[name]()) for _ in RAGGED[:2]]
    decoder = Decoder(drafter(), Target(tiny(), rule=EXACT[rule]), Static((2, 2)))

    assert decoder.generate(RAGGED[:2], samplings, Stop(COUNT, tokens=())).tokens == expected


@pytest.mark.parametrize("name", ["counts", "follows"])
@pytest.mark.parametrize("rule", [*EXACT.values(), Typical(), Lenient()], ids=repr)
def test_a_processor_that_remembers_is_asked_about_each_token_in_order(rule: Rule, name: str) -> None:
    """At a temperature too, by all rules."""
    processor = MAKERS[name]()
    decoder = Decoder(Bushy(), Target(tiny(), rule=rule))
    decoder.generate(RAGGED[0], Sampling(1.0, seed=3, processors=processor), Stop(COUNT, tokens=()))

    if isinstance(processor, Counts):
        assert processor.lengths[:COUNT] == list(range(len(RAGGED[0]), len(RAGGED[0]) + COUNT))
        assert processor.lengths == sorted(set(processor.lengths))


@pytest.mark.parametrize("seed", range(2))
def test_sampled_texts_of_match_do_not_depend_on_the_drafter(seed: int) -> None:
    def said(drafter: Drafter, name: str) -> tuple[int, ...]:
        sampling = Sampling(1.0, seed=seed, processors=MAKERS[name]())
        return Decoder(drafter, Target(tiny())).generate(RAGGED[0], sampling, Stop(COUNT, tokens=())).tokens[0]

    for name in MAKERS:
        assert said(NoDrafter(), name) == said(Bushy(), name)


def test_probabilities_in_any_order_are_those_in_order() -> None:
    """However often and wherever they are asked about; the processor itself is not asked."""
    tree = Tree.of([4, 5, 6, 7, 7, 8], [-1, 0, 0, 1, 2, 4])
    logits = torch.randn(6, VOCAB, generator=torch.Generator().manual_seed(0))
    processor = Counts()
    prefix = Prefix([3, 9, 4], Sampling(1.0, processors=processor), Noise(Keyed(), 0))
    probs = prefix.probs_in_any_order(tree, logits)
    for node in [5, 3, 0, 5, 1, 2, 4, 4]:
        alone = Prefix([3, 9, 4], Sampling(1.0, processors=Counts()), Noise(Keyed(), 0)).probs(tree, logits)
        expected = [alone(step) for step in (0, *tree.path(node))][-1]
        np.testing.assert_array_equal(probs(node), expected)

    assert processor.lengths == []


def test_a_processor_that_cannot_be_copied_is_refused_where_copies_are_asked() -> None:
    class Whole(Restless):
        def __deepcopy__(self, memo: dict[int, object]) -> None:
            raise TypeError("a handle cannot be copied")

    sampling, stop = Sampling(processors=Whole()), Stop(4, tokens=())
    with pytest.raises(OptionError, match=r"processors that can be copied, got .*: a handle cannot"):
        Decoder(Bushy(), Target(tiny(), rule=Traversal())).generate(RAGGED[0], sampling, stop)

    fast = Decoder(Bushy(), Target(tiny())).generate(RAGGED[0], sampling, stop)
    assert fast.tokens == Decoder(NoDrafter(), Target(tiny())).generate(RAGGED[0], sampling, stop).tokens


def test_processors_are_told_apart_by_what_they_are() -> None:
    """Two that are equal are two, in one run and the next; a sampling is another if its processors are."""
    decoder, stop = Decoder(NoDrafter(), Target(tiny())), Stop(3, tokens=())
    five, nine = Named("grammar", (5,)), Named("grammar", (9,))

    assert decoder.generate([1, 2], Sampling(processors=five), stop).tokens == ((5, 5, 5),)
    assert decoder.generate([1, 2], Sampling(processors=nine), stop).tokens == ((9, 9, 9),)
    assert Sampling(processors=five) != Sampling(processors=nine)
    assert Sampling(processors=five) == Sampling(processors=[five])
    assert hash(Sampling(processors=Unhashable())) != hash(Sampling())


def test_a_processor_is_not_asked_about_what_is_no_number() -> None:
    """For such a step may be repeated without its drafts."""
    processor = Counts()
    assert scores(Sampling(processors=processor), [1], torch.full((VOCAB,), torch.nan)).isnan().all()
    assert processor.lengths == []


def test_a_processor_is_asked_once_where_another_sequences_draft_is_no_number() -> None:
    """That sequence is read again without its draft, and this one is not decided again."""
    model = build("llama")
    model.get_input_embeddings().weight[50] = torch.nan
    prompts, asked = [[1, 2, 3], [4, 2, 3, 4, 5]], list[list[int]]()
    texts = list[tuple[tuple[int, ...], ...]]()
    for draft in (False, True):
        processor = Counts()

        def tree(text: list[int], _: Context, draft: bool = draft) -> Tree:
            return Tree.of([text[-1], 50], [-1, 0]) if draft and text[0] == 4 else Tree.root(text[-1])

        decoder, samplings = Decoder(Scripted(tree), Target(model)), [Sampling(processors=processor), Sampling()]
        texts.append(decoder.generate(prompts, samplings, Stop(COUNT, tokens=())).tokens)
        asked.append(processor.lengths)

    assert texts[0] == texts[1]
    assert asked[0] == asked[1] == list(range(3, 3 + COUNT))


@pytest.mark.parametrize(
    ("processor", "got"),
    [
        (lambda ids, scores: None, "NoneType"),
        (lambda ids, scores: scores.numpy(), "ndarray"),
        (lambda ids, scores: scores[:, :5], r"\[1, 5\]"),
        (lambda ids, scores: scores[0], rf"\[{VOCAB}\]"),
        (lambda ids, scores: scores.expand(2, -1), rf"\[2, {VOCAB}\]"),
    ],
)
@pytest.mark.parametrize("rule", EXACT.values(), ids=EXACT)
def test_a_processor_gives_a_score_for_each_token(rule: Rule, processor: Any, got: str) -> None:
    decoder = Decoder(Ngram(), Target(tiny(), rule=rule))
    with pytest.raises(OptionError, match=rf"processors to give scores of shape \[1, {VOCAB}\], got {got}"):
        decoder.generate(RAGGED[:2], Sampling(processors=processor), Stop(3))


def test_a_processor_that_is_handed_out_twice_goes_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made, errors = [Counts()], list[object]()

    class Shares:
        @hookimpl
        def register_processors(self, register: Register) -> None:
            register("shared", lambda: made[0])

    monkeypatch.setattr(sys, "unraisablehook", errors.append)
    shares = Shares()
    plugins().add(shares, "shares")
    try:
        assert load_processor("shared") is load_processor("shared")
        assert processor_spec(made[0]) == ("shared", {})
        made.clear()
        gc.collect()
    finally:
        plugins().remove(shares)

    assert errors == []
