"""Numbers of the authors' own implementation: see the README of the golden folder for what each tensor is."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close
from transformers import PreTrainedModel

from specdec import Decoder, Features, Sampling, Stop, Target, Tree, pack
from specdec.heads import SplitLayer, TargetParts, rotate
from specdec.policies import Dynamic
from specdec.target import TreePass
from specdec.training import Batch, Teacher
from specdec_moa.blocks import blocks
from specdec_moa.cache import MoACache
from specdec_moa.checkpoint import load
from specdec_moa.encoder import MoAEncoder
from specdec_moa.model import pack as pack_layers
from specdec_moa.plugin import moa
from specdec_moa.training import MoAMethod, Options

GOLDEN = Path(__file__).parent / "golden"
CASES = ("stair", "late", "whole")
SIZES = {"small": Dynamic(depth=4, width=4, size=20), "official": Dynamic(depth=6, width=8, size=62)}


def close(actual: Tensor, expected: Tensor) -> None:
    assert_close(actual.detach(), expected, atol=5e-5, rtol=0)


def read(folder: str, name: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / folder / f"{name}.safetensors")


def test_target(golden_model: PreTrainedModel) -> None:
    truth = read("target", "fixture")
    said = golden_model(truth["prompt_ids"], use_cache=True, output_hidden_states=True)
    close(said.logits, truth["logits"])
    for index, states in enumerate(said.hidden_states):
        close(states, truth[f"hidden_states.{index}"])
    for index, layer in enumerate(said.past_key_values.layers):
        close(layer.keys[0], truth["key"][index])
        close(layer.values[0], truth["value"][index])


def test_memory(golden_model: PreTrainedModel) -> None:
    truth, model = read("moa_tli0", "train"), load(str(GOLDEN / "moa_tli0"), golden_model.config)
    real = truth["attention_mask"].bool()
    said = golden_model(truth["input_ids"], truth["attention_mask"], use_cache=True)
    keys, values = (
        torch.stack([getattr(layer, part).transpose(1, 2) for layer in said.past_key_values.layers], 2)
        for part in ("keys", "values")
    )
    close(pack_layers(keys, values)[real], truth["kv_packed"][real])
    close(model.mix_layers(truth["kv_packed"])[0, :8], truth["lsa_out"].mean(-2))
    close(model.remember(keys, values)[real], truth["z"][real])


@pytest.mark.parametrize("case", CASES)
def test_masks_and_forward(golden_model: PreTrainedModel, case: str) -> None:
    truth, model = read("moa_tli0", "train"), load(str(GOLDEN / "moa_tli0"), golden_model.config)
    real = truth["attention_mask"].bool()
    masks = blocks(truth["response_mask"].bool(), truth[f"{case}.block_len"], truth[f"{case}.staircase"], strict=False)
    assert torch.equal(masks.verified, truth[f"{case}.response_mask_noisy"] == 0)
    assert torch.equal(masks.own[real], truth[f"{case}.sa_mask"][real])
    assert torch.equal(masks.remembered[real], truth[f"{case}.ca_mask"][real])
    embedded = golden_model.get_input_embeddings()(truth["input_ids"])
    feature = model(embedded, truth["z"], truth["position_ids"], masks.own, masks.remembered)
    close(feature[real], truth[f"{case}.ca_out"][real])
    if case == "stair":
        close(golden_model.lm_head(feature)[real], truth["stair.logits"][real])


@torch.no_grad()
def test_drafting(golden_model: PreTrainedModel) -> None:
    """Two cycles on a fixed tree, with three tokens decided in between."""
    truth, model = read("moa_tli0", "infer"), load(str(GOLDEN / "moa_tli0"), golden_model.config)
    cache = MoACache(model, TargetParts.of(golden_model))
    cache.open(1)
    keys, values = (truth[f"target_{part}"].permute(2, 0, 1, 3)[None] for part in ("key", "value"))
    features = Features(keys=keys, values=values)
    encoder, first, whole = MoAEncoder(model), len(truth["prefix_ids"]), len(truth["cycle2.prefix_ids"])
    close(encoder.remember(features), truth["z"])
    keys, values = SplitLayer.of(model.cross_attention).keys_values(truth["z"])
    close(rotate(keys, model.cross_rotary(keys, torch.arange(whole)[None])), truth["ca_key"])
    close(values, truth["ca_value"])
    for cycle, start, end in (("cycle1", 0, first), ("cycle2", first, whole)):
        part = Features(keys=features.keys[:, start:end], values=features.values[:, start:end])
        cache.learn(encoder.decode(Features(encoded=encoder.encode(part)), 2, 8), [start], [end - start])
        cache.follow([truth["cycle2.prefix_ids"].tolist()], [end], [0])
        close(draft(cache, truth, cycle, end), truth[f"{cycle}.logits"])


def draft(cache: MoACache, truth: dict[str, Tensor], cycle: str, length: int) -> Tensor:
    """Read the tree level by level, as drafting does."""
    tree = Tree.of(truth[f"{cycle}.tree_tokens"].tolist(), truth["tree_parents"].tolist())
    assert tree.depths == truth["tree_depth"].tolist()
    packed, logits, start = pack([tree]), [], 0
    for depth in range(tree.depth + 1):
        end = start + tree.depths.count(depth)
        tree_pass = TreePass(torch.tensor([length]), packed.depths[:, :end], packed.ancestors[:, start:end, :end])
        logits.append(cache.read(packed.tokens[:, start:end], tree_pass, cache.memory([0])))
        start = end
    return torch.cat(logits, 1)[0].detach()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("prompt", range(6))
def test_generation(golden_target: Target, size: str, prompt: int) -> None:
    """The reference has the first new token from its prefill, so here it belongs to the prompt."""
    truth = read("moa_tli0", "generate")
    tokens = truth["prompt_ids"][prompt, : truth["prompt_len"][prompt]].tolist()
    expected = truth[f"{size}.output_ids"][prompt]
    expected = expected[expected >= 0].tolist()
    accepted = truth[f"{size}.accepted"][prompt]
    accepted = accepted[accepted > 0].tolist()
    decoder = Decoder(moa(str(GOLDEN / "moa_tli0"), golden_target), golden_target, SIZES[size])
    steps = list(decoder.stream([[*tokens, expected[0]]], Sampling(), Stop(max_tokens=len(expected) - 1)))
    decided = [step.tokens[0] for step in steps]
    assert [expected[0], *(token for tokens in decided for token in tokens)] == expected
    assert 1 + len(steps) == truth[f"{size}.target_calls"][prompt]
    assert [len(tokens) for tokens in decided][:-1] == accepted[:-1]  # the last is cut by the limit


@pytest.mark.parametrize("size", SIZES)
def test_trees(golden_target: Target, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tree of the first prompt, as the set of its paths: the reference orders a level by its parents' scores."""
    truth = read("moa_tli0", "generate")
    prompt = truth["prompt_ids"][0, : truth["prompt_len"][0]].tolist()
    expected = truth[f"{size}.output_ids"][0].tolist()
    drafter = moa(str(GOLDEN / "moa_tli0"), golden_target)
    trees, propose = list[Tree](), drafter.propose
    monkeypatch.setattr(drafter, "propose", lambda *args: (trees.extend(grown := propose(*args)), grown)[1])
    decoder = Decoder(drafter, golden_target, SIZES[size])
    list(decoder.stream([[*prompt, expected[0]]], Sampling(), Stop(max_tokens=60)))
    for index, tokens in enumerate(truth[f"{size}.trace.draft_tokens"]):
        reference = Tree.of(tokens.tolist(), truth[f"{size}.trace.parents"][index].tolist())
        assert paths(trees[index]) == paths(reference)


def paths(tree: Tree) -> set[tuple[int, ...]]:
    return {tuple(tree.tokens[step] for step in tree.path(node)) for node in range(len(tree))}


@pytest.mark.parametrize(("folder", "case"), [*(("moa_tli0", case) for case in CASES), ("moa_tli1", "stair"), ("moa_tli2", "stair")])  # fmt: skip  # noqa: E501
def test_losses_and_gradients(golden_model: PreTrainedModel, folder: str, case: str) -> None:
    """From the tokens on: the target's features, masks, forward, losses, and the norm of each gradient."""
    truth, layers = read(folder, "train"), int(folder[-1])
    head = load(str(GOLDEN / folder), golden_model.config)
    method = MoAMethod(head, TargetParts.of(golden_model, layers), Options(strict=False))
    real, response = truth["attention_mask"].bool(), truth["response_mask"].bool()
    batch = Teacher(golden_model, method.needs).read(Batch(truth["input_ids"], real, response, torch.arange(3)))
    assert torch.equal(batch.texts.positions, truth["position_ids"])
    if layers:
        close(batch.features.hidden[:, :, 0][real], truth["hidden_tli"][real])
    masks = blocks(response, truth[f"{case}.block_len"], truth[f"{case}.staircase"], strict=False)
    losses = method.losses(batch, masks)
    names = {"forward_KL": "vocabulary", "feature_loss": "feature", "prev_feature_loss": "earlier_feature", "loss": "loss"}  # fmt: skip  # noqa: E501
    for name, ours in names.items():
        if f"{case}.{name}" in truth:
            assert_close(losses[ours].detach(), truth[f"{case}.{name}"], atol=1e-5, rtol=1e-5)
    losses["loss"].backward()
    norms = {name: parameter.grad.norm() for name, parameter in head.named_parameters()}
    if f"{case}.grad_norm_total" in truth:
        for name, norm in norms.items():
            assert_close(norm, truth[f"{case}.grad_norm.{name}"], rtol=1e-4, atol=1e-7)
        total = torch.stack(list(norms.values())).norm()
        assert_close(total, truth[f"{case}.grad_norm_total"], rtol=1e-4, atol=0)
