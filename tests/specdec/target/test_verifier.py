"""The target as a verifier: a step that fails changes nothing."""

from typing import Any

import pytest
import torch

from specdec import Decoder, Needs, Sampling, Stop, Target, Tree
from specdec.drafters import SmallModel
from specdec.errors import NonFiniteLogits, OptionError, PromptError, TreeError
from specdec.policies import Dynamic
from tests.plain import decode_plainly
from tests.specdec.target.forks import NOTHING, forked, prefill
from tests.toys import RAGGED, VOCAB, build, perturbed, prompt, tiny

ROOT = RAGGED[0][-1]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (Tree.root((ROOT + 1) % VOCAB), f"sequence 0 to have root {ROOT}, its last decided token; got {ROOT + 1}"),
        (Tree.of([ROOT, 99], [-1, 0]), f"tokens of sequence 0 to be 0 to {VOCAB - 1}, got 99"),
        (Tree([ROOT, -1], [-1, 0], [0.0, 0.0], [0, 1]), f"0 to {VOCAB - 1}, got -1"),
        (Tree([ROOT, 1], [-1, 1], [0.0, 0.0], [0, 1]), "node 1 of sequence 0 to come after its parent, got 1"),
        (Tree([ROOT, 1], [-1, 7], [0.0, 0.0], [0, 1]), "node 1 of sequence 0 to come after its parent, got 7"),
        (Tree([ROOT, 1], [-1, -1], [0.0, 0.0], [0, 1]), "node 1 of sequence 0 to come after its parent, got -1"),
        (Tree([ROOT, 1], [-1, 0], [0.0, 0.0], [0, 2]), "node 1 of sequence 0 one level below its parent, got depth 2"),
        (Tree([ROOT, 1], [-1, 0], [0.0, 0.0], [0, 0]), "node 1 of sequence 0 one level below its parent, got depth 0"),
        (Tree([ROOT], [0], [0.0], [0]), "root of sequence 0 to have parent -1 and depth 0, got 0 and 0"),
        (Tree([ROOT], [-1], [0.0], [1]), "root of sequence 0 to have parent -1 and depth 0, got -1 and 1"),
        (Tree([ROOT, 1], [-1], [0.0], [0]), r"tree of sequence 0 with as many tokens.*got \[2, 1, 1, 1\]"),
        (Tree([], [], [], []), r"tree of sequence 0 with .*got \[0, 0, 0, 0\]"),
    ],
)
def test_a_refused_tree_changes_nothing(tree: Tree, message: str) -> None:
    """The same batch continues with a tree that fits."""
    target = Target(tiny())
    prefill(target, RAGGED)
    good = forked(RAGGED)
    with pytest.raises(TreeError, match=message):
        target.verify([tree, *good[1:]])
    with pytest.raises(TreeError, match=message):
        target.verify([tree, None, None, *good[3:]])

    assert target.verify(good).accepted == [2] * 5


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        (lambda good: good[:2], "trees for 5 sequences, got 2"),
        (lambda good: [*good, None], "trees for 5 sequences, got 6"),
        (lambda good: [None] * 5, "a tree for at least one sequence, got none"),
    ],
)
def test_trees_that_are_not_those_of_the_batch_change_nothing(trees: Any, message: str) -> None:
    target = Target(tiny())
    prefill(target, RAGGED)
    good = forked(RAGGED)
    with pytest.raises(TreeError, match=message):
        target.verify(trees(good))

    assert target.verify(good).accepted == [2] * 5


def test_a_tree_beyond_the_models_positions_is_refused() -> None:
    target = Target(build("llama", max_position_embeddings=8))
    prefill(target, [[1, 2, 3, 4, 5, 6, 7]])

    with pytest.raises(TreeError, match="nodes of sequence 0 within the model's 8 positions, got one at 9"):
        target.verify([Tree.of([7, 1, 1], [-1, 0, 1])])


def test_a_sequence_that_left_may_not_come_back() -> None:
    target = Target(tiny())
    prefill(target, RAGGED[:2])
    step = target.verify([Tree.root(RAGGED[0][-1]), None])

    with pytest.raises(TreeError, match="sequence 1 to have no tree, for it has left; got one"):
        target.verify([Tree.root(step.tokens[0][0]), Tree.root(RAGGED[1][-1])])


@pytest.mark.parametrize(
    ("prompts", "samplings", "message"),
    [
        ([], 0, "at least one; got 0 and 0"),
        ([[1]], 2, "as many prompts as samplings, and at least one; got 1 and 2"),
        ([[1], []], 2, "prompt 1 to have at least 1 token, got none"),
        ([[1], [VOCAB]], 2, f"ids of prompt 1 to be 0 to {VOCAB - 1}, got {VOCAB}"),
        ([[1], [1] * 128], 2, "prompt 1 to leave room in the model's 128 positions, got 128 tokens"),
    ],
)
def test_a_refused_prompt_does_not_end_the_batch(prompts: list[list[int]], samplings: int, message: str) -> None:
    target = Target(tiny())
    prefill(target, RAGGED)
    with pytest.raises(PromptError, match=message):
        target.prefill(prompts, NOTHING, [Sampling()] * samplings)

    assert target.verify(forked(RAGGED)).accepted == [2] * 5


def test_needs_that_are_refused_do_not_end_the_batch() -> None:
    target = Target(tiny())
    prefill(target, RAGGED)
    with pytest.raises(OptionError, match="expected needs of hidden states from -3 to 2"):
        prefill(target, RAGGED, Needs(hidden_states=(99,)))
    with pytest.raises(OptionError, match="each of the needed hidden states once, got 3 numbers for 2 different ones"):
        prefill(target, RAGGED, Needs(hidden_states=(1, 2, -1)))

    assert target.verify(forked(RAGGED)).accepted == [2] * 5


def test_logits_that_are_no_numbers_are_an_error_that_changes_nothing() -> None:
    """The error names the position; once the model is whole again, the same step goes through."""
    model = build("llama")
    target = Target(model)
    prefill(target, RAGGED)
    head = model.get_output_embeddings().weight
    whole = head[5].clone()
    head[5] = torch.nan
    with pytest.raises(NonFiniteLogits, match=r"position 9 .* got a largest of nan"):
        target.verify(forked(RAGGED))
    head[5] = whole
    step = target.verify(forked(RAGGED))

    assert step.tokens == [[*decode_plainly(model, tuple(tokens), Sampling(), 3)] for tokens in RAGGED]


def test_slots_are_freed_and_used_again() -> None:
    """A batch takes the memory of its rows, however many came before it; closed, a target holds none."""
    target, sizes = Target(tiny()), set()
    for prompts in (RAGGED, RAGGED[:1], RAGGED, RAGGED):
        prefill(target, prompts)
        sizes.add((len(prompts), target.engine.cache.nbytes))
    target.close()

    assert len(sizes) == 2
    assert target.engine.cache.nbytes == 0
    assert target.engine.open().index == 0


def test_one_target_serves_inside_and_outside_of_inference_mode() -> None:
    """Its cache, made in that mode, is written to outside."""
    with torch.inference_mode():
        decoder = Decoder(SmallModel(perturbed()), Target(tiny()), Dynamic(3, 3, 8))
        inside = decoder.generate([prompt(9), prompt(30)], stop=Stop(12, tokens=()))
    outside = decoder.generate([prompt(9), prompt(50)], stop=Stop(12, tokens=()))

    assert inside.tokens[0] == outside.tokens[0]
