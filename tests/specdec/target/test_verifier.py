"""The target as a verifier: features belong to the token before, and what fails leaves nothing behind."""

import pytest
import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from specdec import PADDING, Decoder, Encoder, Features, Needs, Sampling, Step, Stop, Target, Tree
from specdec.drafters import SmallModel
from specdec.errors import NonFiniteLogits, TreeError
from specdec.policies import Dynamic
from specdec.target.verifier import CHUNK
from tests.plain import decode_plainly
from tests.toys import RAGGED, VOCAB, build, perturbed, prompt, tiny

NOTHING = Needs()
NEEDS = Needs(hidden_states=(0, 1, -1), keys_values=(1, 0))


def pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    tokens = torch.tensor([row + [PADDING] * (width - len(row)) for row in rows])
    return tokens, torch.tensor([len(row) for row in rows])


def prefill(target: Target, rows: list[list[int]], needs: Needs = NOTHING) -> Step:
    tokens, lengths = pad(rows)
    return target.prefill(tokens, lengths, needs, [Sampling()] * len(rows))


def plain_features(model: PreTrainedModel, tokens: list[int]) -> Features:
    cache = DynamicCache()
    with torch.no_grad():
        said = model(torch.tensor([tokens]), past_key_values=cache, output_hidden_states=True, use_cache=True)
    hidden = torch.stack([said.hidden_states[index] for index in NEEDS.hidden_states], 2)
    keys = torch.stack([cache.layers[index].keys.transpose(1, 2) for index in NEEDS.keys_values], 2)
    values = torch.stack([cache.layers[index].values.transpose(1, 2) for index in NEEDS.keys_values], 2)
    return Features(hidden, keys, values)


def assert_features(have: Features, row: int, start: int, count: int, want: Features) -> None:
    for part in ("hidden", "keys", "values"):
        mine, plain = getattr(have, part), getattr(want, part)
        torch.testing.assert_close(mine[row, :count], plain[0, start : start + count], rtol=0, atol=1e-6)


def forked(rows: list[list[int]]) -> Tree:
    """Under each root the target's own next two tokens, and a wrong sibling before each."""
    tree = Tree.root(torch.tensor([row[-1] for row in rows]))
    above = torch.zeros(len(rows), 1, dtype=torch.int64)
    for depth in range(2):
        right = torch.tensor([[decode_plainly(tiny(), tuple(row), Sampling(), 3)[depth]] for row in rows])
        start = tree.tokens.shape[1]
        both = torch.cat([(right + 1) % VOCAB, right], 1)
        tree = tree.place(both, above.expand(-1, 2), torch.zeros(len(rows), 2))
        above = torch.full_like(above, start + 1)
    return tree


@pytest.mark.parametrize("rows", [RAGGED, [RAGGED[0], prompt(2 * CHUNK + 5), RAGGED[1], prompt(CHUNK + 1)]])
def test_features_of_the_prompt_belong_to_the_token_before(rows: list[list[int]]) -> None:
    """`features[:, k]` is of `prompt[k]`, and `tokens[:, k]` is `prompt[k + 1]`, also where chunks meet."""
    model = build("llama", max_position_embeddings=3 * CHUNK)
    step = prefill(Target(model), rows, NEEDS)

    assert step.lengths.tolist() == [len(row) - 1 for row in rows]
    assert step.features is not None
    for row, tokens in enumerate(rows):
        assert step.tokens[row, : len(tokens) - 1].tolist() == tokens[1:]
        assert_features(step.features, row, 0, len(tokens) - 1, plain_features(model, tokens))


def test_features_of_a_step_belong_to_the_token_before() -> None:
    """The root's own come first, then those of the path but for its last token's successor."""
    target = Target(tiny())
    prefill(target, RAGGED, NEEDS)
    step = target.verify(forked(RAGGED))

    assert step.lengths.tolist() == [3] * 5
    assert step.accepted.tolist() == [2] * 5
    assert step.features is not None
    for row, tokens in enumerate(RAGGED):
        text = [*tokens, *step.tokens[row].tolist()]
        assert_features(step.features, row, len(tokens) - 1, 3, plain_features(tiny(), text))


def test_features_stay_with_their_rows_when_others_leave() -> None:
    target = Target(tiny())
    prefill(target, RAGGED, NEEDS)
    tree = forked(RAGGED)
    gone = torch.tensor([True, False, True, False, False])[:, None]
    step = target.verify(
        Tree(tree.tokens.masked_fill(gone, PADDING), tree.parents.masked_fill(gone, PADDING), tree.scores)
    )

    assert step.lengths.tolist() == [0, 3, 0, 3, 3]
    assert step.features is not None
    for row in (1, 3, 4):
        text = [*RAGGED[row], *step.tokens[row].tolist()]
        assert_features(step.features, row, len(RAGGED[row]) - 1, 3, plain_features(tiny(), text))


def test_prompts_of_one_token_have_features_of_no_columns() -> None:
    step = prefill(Target(tiny()), [[3], [0]], NEEDS)

    assert step.tokens.shape == (2, 0)
    assert step.features is not None
    assert step.features.hidden is not None
    assert step.features.hidden.shape == (2, 0, 3, 32)
    assert step.features.keys is not None
    assert step.features.keys.shape == (2, 0, 2, 2, 8)


@frozen(eq=False)
class Doubled(Encoder):
    """Makes one number of each token, by itself."""

    def encode(self, features: Features) -> Float[Tensor, "B K ..."]:
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
        assert have.features is not None
        assert want.features is not None
        assert (have.features.hidden, have.features.keys, have.features.values) == (None, None, None)
        assert have.features.encoded is not None
        for row, length in enumerate(have.lengths.tolist()):
            encoded = Doubled().encode(want.features)[row, :length]
            torch.testing.assert_close(have.features.encoded[row, :length], encoded)


def test_a_drafter_without_needs_is_given_nothing() -> None:
    target = Target(tiny())

    assert prefill(target, RAGGED).features is None
    assert target.verify(forked(RAGGED)).features is None


def test_a_refused_tree_changes_nothing() -> None:
    """The same batch goes on with a tree that fits."""
    target = Target(tiny())
    prefill(target, RAGGED)
    good = forked(RAGGED)
    roots = good.tokens[:, :1]
    bad = {
        "trees for 5 rows, got 2": good.rows([0, 1]),
        f"row 0 to have root {RAGGED[0][-1]}": Tree.root((roots[:, 0] + 1) % VOCAB),
        "at least one row with a root": Tree.root(torch.full((5,), PADDING)),
        f"tokens below {VOCAB}, got 99": Tree.root(roots[:, 0]).place(
            torch.full((5, 1), 99), torch.zeros(5, 1, dtype=torch.int64), torch.zeros(5, 1)
        ),
    }
    pair = torch.cat([roots, roots], 1)
    for parent in (1, 7, PADDING):
        parents = torch.tensor([PADDING, parent]).expand(5, 2)
        bad[f"node 1 of row 0 to stand behind its parent, got {parent}"] = Tree(pair, parents, torch.zeros(5, 2))
    for message, tree in bad.items():
        with pytest.raises(TreeError, match=message):
            target.verify(tree)
    step = target.verify(good)

    assert step.accepted.tolist() == [2] * 5


def test_a_tree_beyond_the_models_positions_is_refused() -> None:
    target = Target(build("llama", max_position_embeddings=8))
    prefill(target, [[1, 2, 3, 4, 5, 6, 7]])
    tree = Tree.root(torch.tensor([7]))
    for _ in range(2):
        last = torch.tensor([[tree.tokens.shape[1] - 1]])
        tree = tree.place(torch.tensor([[1]]), last, torch.zeros(1, 1))

    with pytest.raises(TreeError, match="8 positions, got one at 9"):
        target.verify(tree)


def test_a_row_that_left_may_not_come_back() -> None:
    target = Target(tiny())
    prefill(target, RAGGED[:2])
    roots = torch.tensor([RAGGED[0][-1], PADDING])
    step = target.verify(Tree.root(roots))

    with pytest.raises(TreeError, match="row 1 to have no root"):
        target.verify(Tree.root(torch.tensor([int(step.tokens[0, 0]), RAGGED[1][-1]])))


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
    texts = [decode_plainly(model, tuple(tokens), Sampling(), 3) for tokens in RAGGED]

    assert [tuple(row) for row in step.tokens.tolist()] == texts


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
