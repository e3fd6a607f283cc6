"""The target as a verifier: features belong to the token before, and what fails leaves nothing behind."""

from typing import Any

import pytest
import torch
from attrs import frozen
from jaxtyping import Float

from specdec import Decoder, Encoder, Features, Needs, Sampling, Step, Stop, Target, Tree
from specdec.drafters import SmallModel
from specdec.errors import NonFiniteLogits, OptionError, PromptError, TreeError
from specdec.policies import Dynamic
from specdec.target.sessions import CHUNK
from specdec.unread import Unread
from tests.plain import decode_plainly
from tests.specdec.target.features import assert_features, plain_features
from tests.toys import RAGGED, VOCAB, build, perturbed, prompt, tiny

NOTHING = Needs()
NEEDS = Needs(hidden_states=(0, 1, -1), keys_values=(1, 0))


def prefill(target: Target, prompts: list[list[int]], needs: Needs = NOTHING) -> Step:
    return target.prefill(prompts, needs, [Sampling()] * len(prompts))


def forked(prompts: list[list[int]]) -> list[Tree | None]:
    """Under each root the target's own next two tokens, and a wrong sibling before each."""
    trees: list[Tree | None] = []
    for tokens in prompts:
        first, second, _ = decode_plainly(tiny(), tuple(tokens), Sampling(), 3)
        wrong = [(first + 1) % VOCAB, (second + 1) % VOCAB]
        trees.append(Tree.of([tokens[-1], wrong[0], first, wrong[1], second], [-1, 0, 0, 2, 2]))
    return trees


@pytest.mark.parametrize("prompts", [RAGGED, [RAGGED[0], prompt(2 * CHUNK + 5), RAGGED[1], prompt(CHUNK + 1)]])
def test_features_of_the_prompt_belong_to_the_token_before(prompts: list[list[int]]) -> None:
    """`features[:, k]` is of `prompt[k]`, and token k is `prompt[k + 1]`, also where chunks meet."""
    model = build("llama", max_position_embeddings=3 * CHUNK)
    step = prefill(Target(model), prompts, NEEDS)

    assert step.tokens == [tokens[1:] for tokens in prompts]
    assert step.accepted == [0] * len(prompts)
    (read,) = step.features
    assert read.starts == [0] * len(prompts)
    assert read.lengths == step.lengths
    for number, tokens in enumerate(prompts):
        assert_features(read.features, number, 0, len(tokens) - 1, plain_features(model, tokens, NEEDS))


def test_features_of_a_step_belong_to_the_token_before() -> None:
    """The root's own come first, then those of the path but for its last token's successor."""
    target = Target(tiny())
    prefill(target, RAGGED, NEEDS)
    step = target.verify(forked(RAGGED))

    assert step.lengths == [3] * 5
    assert step.accepted == [2] * 5
    (read,) = step.features
    assert read.starts == [len(tokens) - 1 for tokens in RAGGED]
    assert read.lengths == [3] * 5
    for number, tokens in enumerate(RAGGED):
        text = [*tokens, *step.tokens[number]]
        assert_features(read.features, number, len(tokens) - 1, 3, plain_features(tiny(), text, NEEDS))


def test_features_stay_with_their_sequences_when_others_leave() -> None:
    """Also when those that left made room for others in the cache."""
    target = Target(tiny())
    prefill(target, RAGGED, NEEDS)
    trees = forked(RAGGED)
    step = target.verify([None if number in (0, 2) else tree for number, tree in enumerate(trees)])
    texts = [[*tokens, *new] for tokens, new in zip(RAGGED, step.tokens, strict=True)]
    roots = [None if number in (0, 2, 4) else Tree.root(text[-1]) for number, text in enumerate(texts)]
    last = target.verify(roots)

    assert step.lengths == [0, 3, 0, 3, 3]
    assert last.lengths == [0, 1, 0, 1, 0]
    (before,), (after,) = step.features, last.features
    for number in (1, 3):
        plain = plain_features(tiny(), [*texts[number], *last.tokens[number]], NEEDS)
        assert_features(before.features, number, len(RAGGED[number]) - 1, 3, plain)
        assert_features(after.features, number, len(texts[number]) - 1, 1, plain)


def test_features_of_several_steps_are_read_at_once() -> None:
    """Also where one sequence gained more than another, and one has left meanwhile."""
    target, unread = Target(tiny()), Unread()
    unread.add(prefill(target, RAGGED, NEEDS).features)
    first = target.verify([forked(RAGGED)[0], *(Tree.root(tokens[-1]) for tokens in RAGGED[1:])])
    unread.add(first.features)
    texts = [[*tokens, *new] for tokens, new in zip(RAGGED, first.tokens, strict=True)]
    last = target.verify([None if number == 2 else Tree.root(text[-1]) for number, text in enumerate(texts)])
    unread.add(last.features)
    texts = [[*text, *new] for text, new in zip(texts, last.tokens, strict=True)]
    (read,) = unread.take()

    assert read.starts == [0] * 5
    assert [read.lengths[number] for number in (0, 1, 3, 4)] == [len(texts[number]) - 1 for number in (0, 1, 3, 4)]
    for number in (0, 1, 3, 4):
        plain = plain_features(tiny(), texts[number], NEEDS)
        assert_features(read.features, number, 0, len(texts[number]) - 1, plain)


def test_prompts_of_one_token_have_no_features() -> None:
    """Nothing was read of them."""
    step = prefill(Target(tiny()), [[3], [0]], NEEDS)

    assert step.tokens == [[], []]
    assert step.features == ()


@frozen(eq=False)
class Doubled(Encoder):
    """Makes one number of each token, by itself."""

    def encode(self, features: Features) -> Float[torch.Tensor, "B K ..."]:
        assert features.hidden is not None
        assert features.values is not None
        return 2 * features.hidden.sum((2, 3)) + features.values.sum((2, 3, 4))


def test_an_encoder_is_all_that_crosses_over() -> None:
    target, needs = Target(tiny()), Needs((1, -1), (0,), Doubled())
    first = prefill(target, RAGGED, needs)
    step = target.verify(forked(RAGGED))
    bare = Target(tiny())
    expected = [prefill(bare, RAGGED, Needs((1, -1), (0,))), bare.verify(forked(RAGGED))]

    for have, want in zip((first, step), expected, strict=True):
        (mine,), (plain,) = have.features, want.features
        assert (mine.features.hidden, mine.features.keys, mine.features.values) == (None, None, None)
        assert mine.features.encoded is not None
        for number, length in enumerate(have.lengths):
            encoded = Doubled().encode(plain.features)[number, :length]
            torch.testing.assert_close(mine.features.encoded[number, :length], encoded)


def test_a_drafter_without_needs_is_given_nothing() -> None:
    target = Target(tiny())

    assert prefill(target, RAGGED).features == ()
    assert target.verify(forked(RAGGED)).features == ()


def test_features_of_sequences_that_have_left_are_refused() -> None:
    """Others may have their places by now."""
    target = Target(tiny())
    (read,) = prefill(target, RAGGED, NEEDS).features
    prefill(target, RAGGED, NEEDS)

    with pytest.raises(OptionError, match="of a session that is open, got those of one that has left"):
        _ = read.features


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
