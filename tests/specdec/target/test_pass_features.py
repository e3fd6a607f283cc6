"""What a drafter reads of a target: the features of the tokens before those that were decided."""

import pytest
import torch
from attrs import frozen
from jaxtyping import Float

from specdec import Encoder, Features, Needs, Target, Tree
from specdec.errors import OptionError
from specdec.pending import PendingFeatures
from specdec.target.sessions import CHUNK
from tests.specdec.target.features import assert_features, plain_features
from tests.specdec.target.forks import NEEDS, forked, prefill
from tests.toys import RAGGED, build, prompt, tiny


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
    at_once = step.features[0].features
    roots = [None if number in (0, 2, 4) else Tree.root(text[-1]) for number, text in enumerate(texts)]
    last = target.verify(roots)

    assert step.lengths == [0, 3, 0, 3, 3]
    assert last.lengths == [0, 1, 0, 1, 0]
    for number in (1, 3, 4):
        assert_features(at_once, number, len(RAGGED[number]) - 1, 3, plain_features(tiny(), texts[number], NEEDS))
    before, after = step.features[0].without([number not in (1, 3) for number in range(5)]), last.features[0]
    for number in (1, 3):
        plain = plain_features(tiny(), [*texts[number], *last.tokens[number]], NEEDS)
        assert_features(before.features, number, len(RAGGED[number]) - 1, 3, plain)
        assert_features(after.features, number, len(texts[number]) - 1, 1, plain)


def test_features_of_several_steps_are_read_at_once() -> None:
    """Also where one sequence gained more than another, and one has left meanwhile."""
    target = Target(tiny())
    steps = [prefill(target, RAGGED, NEEDS)]
    steps.append(target.verify([forked(RAGGED)[0], *(Tree.root(tokens[-1]) for tokens in RAGGED[1:])]))
    texts = [[*tokens, *new] for tokens, new in zip(RAGGED, steps[-1].tokens, strict=True)]
    steps.append(target.verify([None if number == 2 else Tree.root(text[-1]) for number, text in enumerate(texts)]))
    texts = [[*text, *new] for text, new in zip(texts, steps[-1].tokens, strict=True)]
    left = [number == 2 for number in range(5)]
    (read,) = PendingFeatures().extended([part for step in steps for part in step.features], left).take()

    assert read.starts == [0] * 5
    assert read.lengths == [0 if gone else len(text) - 1 for text, gone in zip(texts, left, strict=True)]
    for number in (0, 1, 3, 4):
        plain = plain_features(tiny(), texts[number], NEEDS)
        assert_features(read.features, number, 0, len(texts[number]) - 1, plain)


@pytest.mark.parametrize("first", [2 * CHUNK + 5, 7])
def test_of_the_last_token_alone_there_is_one_part(first: int) -> None:
    """Also where a prompt is read in chunks."""
    model, needs = build("llama", max_position_embeddings=3 * CHUNK), Needs((0, -1), (1,), only_last=True)
    prompts = [prompt(first), prompt(CHUNK + 1), [4]]
    (read,) = prefill(Target(model), prompts, needs).features

    assert (read.starts[:2], read.lengths) == ([first - 2, CHUNK - 1], [1, 1, 0])
    for number, tokens in enumerate(prompts[:2]):
        assert_features(read.features, number, len(tokens) - 2, 1, plain_features(model, tokens, needs))


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

    with pytest.raises(OptionError, match="of sessions that are open, got those of one that has left"):
        _ = read.features
