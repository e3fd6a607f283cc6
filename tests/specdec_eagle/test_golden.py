"""Numbers of the authors' own implementation, whose files are read as they are."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close
from transformers import PreTrainedModel

from specdec import Context, Features, Sampling, Step, Target, Tree, pack
from specdec.pending import FeaturesAt
from specdec.policies import Dynamic
from specdec.target import TreePass
from specdec_eagle import Eagle3Drafter, EagleDrafter
from specdec_eagle.cache import EagleCache
from specdec_eagle.plugin import eagle, eagle3

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
    return drafter.model.score(states, drafter.parts.head)


@pytest.mark.parametrize("folder", FOLDERS)
def test_features(folder: str, golden_target: Target) -> None:
    """The target's states that the head asks for are those of the reference."""
    truth, drafter = read(folder), load(folder, golden_target)
    ids = truth["context_ids"]
    step = golden_target.prefill([[*ids.tolist(), int(truth["root"])]], drafter.needs, [Sampling()])
    (part,) = step.features
    close(drafter.feature(part.features)[0], mixed(drafter, truth["features"]))
    assert isinstance(drafter, Eagle3Drafter) == (part.features.encoded is not None)


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
    cache, count = EagleCache(drafter.model, drafter.parts), len(truth["context_ids"])
    cache.open(1)
    cache.learn(mixed(drafter, truth["features"])[None], [0], [count])
    tree = Tree.of(truth["tree_tokens"].tolist(), truth["tree_parents"].tolist())
    assert tree.depths == truth["tree_depth"].tolist()
    packed = pack([tree])
    outputs = cache.follow([[*truth["context_ids"].tolist(), int(truth["root"])]], [0])
    for depth in range(1, tree.depth + 1):
        start, end = (sum(each < bound for each in tree.depths) for bound in (depth, depth + 1))
        tree_pass = TreePass([count - 1], packed.depths[:, :end], packed.ancestors[:, start:end, :end])
        assert torch.equal(tree_pass.positions[0], truth["tree_positions"][start:end])
        above = outputs[:, tree.parents[start:end]]
        outputs = torch.cat([outputs, cache.read(packed.tokens[:, start:end], above, tree_pass, [0])], 1)
    close(outputs[0], truth["tree.hidden"])
    close(logits(drafter, outputs)[0], truth["tree.logits"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_trees(folder: str, golden_target: Target) -> None:
    """The official tree, and the one after two of its nodes were accepted: tokens, parents, order."""
    truth, drafter = read(folder), load(folder, golden_target)
    context, model = begin(drafter, golden_target, truth), golden_target.model
    tree = check(drafter.propose(context, OFFICIAL), truth, "dyn1")
    path = truth["accepted_path"][1:].tolist()
    assert path == tree.path(path[-1])
    decided = truth["cycle2.ids"][len(truth["context_ids"]) + 1 :].tolist()
    assert decided[:-1] == [tree.tokens[node] for node in path]
    features = Features(hidden=truth["cycle2.features"].view(1, 3, -1, model.config.hidden_size))
    step = Step([decided], [2], (FeaturesAt(features, [len(context.tokens[0]) - 1], [3]),))
    check(drafter.propose(context.extend(step, context.done), OFFICIAL), truth, "dyn2")


def begin(drafter: EagleDrafter, target: Target, truth: dict[str, Tensor]) -> Context:
    tokens = [*truth["context_ids"].tolist(), int(truth["root"])]
    step = target.prefill([tokens], drafter.needs, [Sampling()])
    context = Context([tokens], [len(tokens) + 40], [False], (Sampling(),), step)
    drafter.begin(context)
    return context


def check(trees: list[Tree | None], truth: dict[str, Tensor], name: str) -> Tree:
    (tree,) = trees
    assert tree is not None
    assert tree.tokens == truth[f"{name}.draft_tokens"].tolist()
    assert tree.parents == truth[f"{name}.parents"].tolist()
    assert tree.depths == truth[f"{name}.position_ids"].tolist()
    assert torch.equal(pack([tree]).ancestors[0], truth[f"{name}.tree_mask"])
    return tree


def test_published_embedding_is_the_targets(golden_target: Target, golden_model: PreTrainedModel) -> None:
    """So the head has none of its own."""
    assert "embed_tokens.weight" in load_file(GOLDEN / "eagle2/model.safetensors")
    drafter = load("eagle2", golden_target)
    assert drafter.parts.embed is golden_model.get_input_embeddings()
    assert not any("embed" in name for name in drafter.model.state_dict())
