"""A draft model reads each decided token once, and its cache is always that of the decided tokens."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from specdec import Context, Decoder, Sampling, Step, Stop, Target, Tree, TreePolicy, load_drafter
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import VocabularyMismatch
from specdec.policies import Adaptive, Chain, Dynamic, Static
from specdec.rules import Match, Rejection, Traversal
from tests.plain import decode_plainly
from tests.specdec.target.readings import assert_whole
from tests.specdec.trees import words
from tests.toys import ARCHITECTURES, RAGGED, build, byte_tokenizer, perturbed, tiny

POLICIES = [
    Chain(4),
    Static((3, 2, 1)),
    Static((2, 2), sampled=True),
    Dynamic(depth=4, width=3, size=5),
    Adaptive(6, 4, 2),
]


class Watched(SmallModel):
    """Looks after each proposal whether the cache is what it should be."""

    looks = 0

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        trees = super().propose(context, policy)
        for number, slot in self._slots.items():
            if slot is not None:
                drafting = context.room[number] > 0  # else nothing is read for it, for nothing is drafted
                assert_whole(self._engine, slot, context.tokens[number][: -1 if drafting else slot.length])
                self.looks += 1
        return trees


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("model", [tiny, perturbed])
def test_the_cache_is_that_of_the_decided_tokens(policy: TreePolicy, model: Any) -> None:
    """Before each root, after any mixture of acceptance and rejection, as sequences end one by one."""
    drafter = Watched(model())
    decoder = Decoder(drafter, Target(tiny()), policy)
    decoder.generate(RAGGED, Sampling(1.0, seed=1), Stop(9, tokens=(3, 8, 50)))

    assert drafter.looks > 5


@pytest.mark.parametrize("policy", POLICIES)
def test_each_token_that_was_accepted_is_read_once(policy: TreePolicy) -> None:
    """What is read are the prompt, the drafted nodes that grow, and at most one decided token per step beyond."""
    model, read = perturbed(), []
    drafter = SmallModel(model)
    hook = model.base_model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        decoder = Decoder(drafter, Target(tiny()), policy)
        steps = list(decoder.stream(RAGGED[2], Sampling(1.0, seed=2), Stop(16, tokens=())))
    finally:
        hook.remove()
    roots = [count for count in read if count > 0]
    missing = sum(read[:2])  # all but the root, and then the root

    assert missing == len(RAGGED[2])
    assert len(roots) <= len(steps) * (1 + 5)
    assert sum(read) <= len(RAGGED[2]) + len(steps) * (2 + 25)


def test_a_long_prompt_is_read_in_chunks_without_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdec.drafters.small_model.CHUNK", 20)
    model = tiny()
    drafter, passes = Watched(model), list[tuple[int, bool]]()
    read = drafter._engine.read

    def watched(slots: Any, tokens: Any, *more: Any, logits: bool = True) -> Any:
        passes.append((tokens.shape[1], logits))
        return read(slots, tokens, *more, logits=logits)

    monkeypatch.setattr(drafter._engine, "read", watched)
    prompts = [[n % 50 + 3 for n in range(75)], [9, 8, 7], [n % 40 + 5 for n in range(33)]]
    said = Decoder(drafter, Target(model), Chain(3)).generate(prompts, Sampling(1.0, seed=4), Stop(9, tokens=()))

    assert said.metrics.acceptance_length > 2
    assert passes[:4] == [(20, False), (20, False), (20, False), (15, True)]
    assert max(size for size, logits in passes if logits) <= 17


def test_a_whole_chain_that_was_accepted_leaves_two_tokens_to_read() -> None:
    """The last drafted token was never read, and the bonus token is the root."""
    model, read = tiny("gemma"), []
    drafter = SmallModel(model)  # which tries the model
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        decoder = Decoder(drafter, Target(perturbed("gemma", 0.0)), Chain(3))
        decoder.generate(RAGGED[0], Sampling(), Stop(12, tokens=()))
    finally:
        hook.remove()

    assert decoder.metrics.summary().acceptance_length == 4
    assert read == [9, 1, 1, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_tree_is_that_of_plain_readings(kind: str) -> None:
    """Every level's children are the likeliest by the model's own plain forward."""
    drafter = SmallModel(tiny(kind))
    trees: list[tuple[list[int], Tree]] = []

    class Spy(Target):
        def verify(self, forest: Sequence[Tree | None]) -> Step:
            rows = zip(self._batch, forest, strict=True)
            trees.extend((list(session.prefix.tokens), tree) for session, tree in rows if session and tree)
            return super().verify(forest)

    Decoder(drafter, Spy(tiny(kind)), Static((2, 2))).generate(RAGGED[:2], Sampling(), Stop(7, tokens=()))

    assert len(trees) > 2
    for tokens, tree in trees:
        level = expected = [(tokens[-1],)]
        for _ in range(tree.depth):
            level = [(*path, token) for path in level for token in best_two(tiny(kind), [*tokens[:-1], *path])]
            expected = expected + level
        assert words(tree) == sorted(expected)


def best_two(model: Any, tokens: list[int]) -> list[int]:
    with torch.no_grad():
        best: list[int] = model(torch.tensor([tokens]), use_cache=False).logits[0, -1].topk(2).indices.tolist()
    return best


def test_a_new_batch_finds_nothing_of_the_last() -> None:
    """Also when the last was left in the middle."""
    decoder = Decoder(Watched(tiny()), Target(tiny()), Static((2, 2)))
    expected = decoder.generate(RAGGED[:2], Sampling(), Stop(8, tokens=())).tokens
    next(decoder.stream(RAGGED[1:], Sampling(1.0), Stop(8, tokens=())))

    assert decoder.generate(RAGGED[:2], Sampling(), Stop(8, tokens=())).tokens == expected
    assert decoder.metrics.summary().acceptance_length > 2


@pytest.mark.parametrize("policy", [Static((3, 2)), Static((3, 2), sampled=True), Dynamic(depth=4, width=3, size=5)])
@pytest.mark.parametrize("rule", [Match, Rejection, Traversal])
@pytest.mark.parametrize(("own", "whole"), [(48, 56), (60, 56)])
def test_vocabularies_that_are_padded_otherwise(own: int, whole: int, rule: Any, policy: TreePolicy) -> None:
    """Tokens that the draft model has and the target has not are never guessed; of the others it reads some."""
    target = Target(tiny(), rule=rule())
    sampling = Sampling(0.0 if rule is not Match else 1.0, seed=1)
    drafter = SmallModel(build("llama", vocab_size=own, seed=3), whole)
    said = Decoder(drafter, target, policy).generate(RAGGED, [sampling] * 5, Stop(12, tokens=()))

    assert said.tokens == tuple(decode_plainly(tiny(), tuple(prompt), sampling, 12) for prompt in RAGGED)
    assert any(token >= own for text in said.tokens for token in text) or own > whole


def test_padding_is_recognised_by_the_tokenizers(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    size = len(tokenizer)
    target = Target(build("llama", vocab_size=size + 3), tokenizer)
    build("llama", vocab_size=size + 8, seed=2).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    drafter = load_drafter("small_model", tmp_path, target=target)
    said = Decoder(drafter, target).generate([1, 2, 3], Sampling(), Stop(8, tokens=()))

    assert drafter.vocab_size == target.vocab_size
    assert said.tokens == Decoder(NoDrafter(), target).generate([1, 2, 3], Sampling(), Stop(8, tokens=())).tokens
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["new"])
    other.save_pretrained(tmp_path)
    with pytest.raises(VocabularyMismatch, match=f"in which 'new' is {size} and not none"):
        load_drafter("small_model", tmp_path, target=target)


def test_it_is_loaded_to_its_own_device_or_else_to_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, target = list[object](), Target(tiny())

    def load(path: str, target: Target | None, device: object) -> SmallModel:
        asked.append(device)
        return SmallModel(tiny())

    monkeypatch.setattr(SmallModel, "from_pretrained", load)
    for options in ({}, {"target": target}, {"target": target, "device": "meta"}):
        load_drafter("small_model", "somewhere", **options)

    assert asked == [None, torch.device("cpu"), "meta"]
