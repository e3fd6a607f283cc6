"""Numbers of the authors' own implementation, whose files are read as they are."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close
from transformers import PreTrainedModel

from specdec import Context, Sampling, Step, Target, Tree
from specdec.features import Features
from specdec.policies import Dynamic
from specdec.target import TreePass
from specdec_eagle import Eagle3Drafter, EagleDrafter
from specdec_eagle.plugin import eagle, eagle3
from specdec_eagle.rows import Rows

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = ("eagle2", "eagle3")
OFFICIAL = Dynamic(depth=5, width=4, size=19)
"""Of the reference: branching 4, one first level and 4 more, 20 nodes with the root."""


def close(actual: Tensor, expected: Tensor) -> None:
    assert_close(actual.detach(), expected, atol=5e-5, rtol=0)


def read(folder: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / folder / "fixture.safetensors")


def load(folder: str, target: Target) -> EagleDrafter:
    return (eagle3 if folder == "eagle3" else eagle)(str(GOLDEN / folder), target)


def mixed(drafter: EagleDrafter, features: Tensor) -> Tensor:
    """Give what the head reads of the target's states [N, W]."""
    if isinstance(drafter, Eagle3Drafter):
        return drafter.model.mix(features.view(len(features), 3, -1))
    return features


def logits(drafter: EagleDrafter, states: Tensor) -> Tensor:
    """Score over the head's own vocabulary, as the reference does."""
    said = drafter.model.score(states, drafter.parts.head)
    return said[..., drafter.model.tokens()] if isinstance(drafter, Eagle3Drafter) else said


@pytest.mark.parametrize("folder", FOLDERS)
def test_features(folder: str, golden_target: Target) -> None:
    """The target's states that the head asks for are those of the reference."""
    truth, drafter = read(folder), load(folder, golden_target)
    ids, count = truth["context_ids"], len(truth["context_ids"])
    tokens, lengths = torch.cat([ids, truth["root"][None]])[None], torch.tensor([count + 1])
    step = golden_target.prefill(tokens, lengths, drafter.needs, [Sampling()])
    close(drafter.feature(step.features)[0], mixed(drafter, truth["features"]))
    assert isinstance(drafter, Eagle3Drafter) == (step.features.encoded is not None)


@pytest.mark.parametrize("folder", FOLDERS)
def test_forward(folder: str, golden_target: Target) -> None:
    truth, drafter = read(folder), load(folder, golden_target)
    tokens = torch.cat([truth["context_ids"][1:], truth["root"][None]])[None]
    features = mixed(drafter, truth["features"])[None]
    given = drafter.model(drafter.parts.embed(tokens), features, torch.arange(tokens.shape[1])[None])
    close(given[0], truth["tf.hidden"])
    close(logits(drafter, given)[0], truth["tf.logits"])


@torch.no_grad()
@pytest.mark.parametrize("folder", FOLDERS)
def test_fixed_tree(folder: str, golden_target: Target) -> None:
    """Level by level: the first level reads the head's own feature of the root, and so on."""
    truth, drafter = read(folder), load(folder, golden_target)
    rows, count = Rows(drafter.model, drafter.parts, 1), len(truth["context_ids"])
    rows.learn(mixed(drafter, truth["features"])[None], torch.tensor([0]), torch.tensor([count]))
    context = torch.cat([truth["context_ids"], truth["root"][None]])[None]
    depths, parents = truth["tree_depth"], truth["tree_parents"]
    tree = Tree(truth["tree_tokens"][None], parents[None], torch.zeros(1, len(depths)))
    given = rows.follow(context, torch.tensor([count + 1]), torch.tensor([0]))
    for depth in range(1, int(depths.max()) + 1):
        start, end = (int((depths < bound).sum()) for bound in (depth, depth + 1))
        layout = TreePass(torch.tensor([count - 1]), depths[None, :end], tree.ancestors[:, start:end, :end])
        assert torch.equal(layout.positions[0], truth["tree_positions"][start:end])
        above = given[:, parents[start:end]]
        given = torch.cat([given, rows.read(tree.tokens[:, start:end], above, layout, torch.tensor([0]))], 1)
    close(given[0], truth["tree.hidden"])
    close(logits(drafter, given)[0], truth["tree.logits"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_trees(folder: str, golden_target: Target) -> None:
    """The official tree, and the one after two of its nodes were accepted: tokens, parents, order."""
    truth, drafter = read(folder), load(folder, golden_target)
    context, model = begin(drafter, golden_target, truth), golden_target.model
    tree = drafter.propose(context, OFFICIAL)
    check(tree, truth, "dyn1")
    path = truth["accepted_path"][1:].tolist()
    assert path == tree.path(0, path[-1])
    decided = truth["cycle2.ids"][len(truth["context_ids"]) + 1 :]
    assert decided[:-1].tolist() == tree.tokens[0, path].tolist()
    features = Features(hidden=truth["cycle2.features"].view(1, 3, -1, model.config.hidden_size))
    step = Step(decided[None], torch.tensor([3]), torch.tensor([2]), features)
    check(drafter.propose(context.extend(step, context.done), OFFICIAL), truth, "dyn2")


def begin(drafter: EagleDrafter, target: Target, truth: dict[str, Tensor]) -> Context:
    tokens = torch.cat([truth["context_ids"], truth["root"][None]])[None]
    lengths = torch.tensor([tokens.shape[1]])
    step = target.prefill(tokens, lengths, drafter.needs, [Sampling()])
    context = Context(tokens, lengths, lengths + 40, torch.tensor([False]), (Sampling(),), step)
    drafter.begin(context)
    return context


def check(tree: Tree, truth: dict[str, Tensor], name: str) -> None:
    assert tree.tokens[0].tolist() == truth[f"{name}.draft_tokens"].tolist()
    assert tree.parents[0].tolist() == truth[f"{name}.parents"].tolist()
    assert tree.depths[0].tolist() == truth[f"{name}.position_ids"].tolist()
    assert torch.equal(tree.ancestors[0], truth[f"{name}.tree_mask"])


def test_published_embedding_is_the_targets(golden_target: Target, golden_model: PreTrainedModel) -> None:
    """So the head has none of its own."""
    assert "embed_tokens.weight" in load_file(GOLDEN / "eagle2/model.safetensors")
    drafter = load("eagle2", golden_target)
    assert drafter.parts.embed is golden_model.get_input_embeddings()
    assert not any("embed" in name for name in drafter.model.state_dict())
