"""Heads with a draft vocabulary draft as if all their other scores were minus infinity."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from specdec import Drafter, Sampling, Target, TreePolicy, Verifier, load_drafter
from specdec.errors import OptionError, WrongCheckpoint
from specdec.heads import HalfPrecisionLinear, HeadDrafter, HeadModel, TargetParts
from specdec.policies import Dynamic, Static
from specdec.testing import check_drafter
from specdec.training import Example, Examples, Progress, Teacher, collate, load_method
from specdec.training.trainer import HeadTrainer
from specdec_moa import MoADrafter
from tests.specdec.heads.test_quantized import KINDS
from tests.specdec.heads.trees import Trees, check_same, record
from tests.specdec_eagle.heads import KINDS as EAGLES
from tests.specdec_eagle.heads import head as eagle_head
from tests.specdec_eagle.heads import target
from tests.specdec_moa.heads import head as moa_head
from tests.toys import RAGGED, VOCAB, build
from tests.training.test_trainer import examples, losses, plan

SIZE = 30
HEADS = ("moa", "moa:tli=1", "eagle", "eagle3")
TREE = Dynamic(depth=3, width=4, size=12)


def head(name: str, model: PreTrainedModel, size: int) -> Any:
    if name.startswith("moa"):
        return moa_head(model, draft_vocab_size=size)
    return eagle_head(name, model, draft_vocab_size=size)


def drafter(name: str, made: HeadModel, model: PreTrainedModel) -> Any:
    parts = TargetParts.of(model, int(name == "moa:tli=1"))
    return MoADrafter(made, parts) if name.startswith("moa") else EAGLES[name][2](made, parts)


def drafted(steps: list[Trees]) -> set[int]:
    return {token for trees in steps for tree in trees if tree for token in tree.tokens[1:]}


@pytest.mark.parametrize("name", HEADS[1:])
def test_passes_the_kit(name: str) -> None:
    def factory(verifier: Verifier) -> Drafter:
        model = verifier.model  # type: ignore[attr-defined]
        return drafter(name, head(name, model, 9), model)

    check_drafter(factory, policies=(Static((2, 2), sampled=True), TREE))


class Masked:
    """Takes all tokens but some from what a drafter scores."""

    def __init__(self, drafter: HeadDrafter, tokens: Tensor) -> None:
        self._score, self._tokens = drafter.score, tokens
        drafter.score = self.score  # type: ignore[method-assign]

    def score(self, *args: Any) -> Tensor:
        scores = self._score(*args)
        return torch.full_like(scores, -torch.inf).index_copy(-1, self._tokens, scores[..., self._tokens])


@pytest.mark.parametrize(
    ("temperature", "policy"), [(0.0, TREE), (1.0, TREE), (1.0, Static((3, 2), sampled=True))], ids=["0", "1", "drawn"]
)
@pytest.mark.parametrize("name", HEADS)
def test_drafts_as_without_the_other_tokens(name: str, temperature: float, policy: TreePolicy) -> None:
    """By the noise of the same ids: with any other, trees would differ at temperature 1."""
    reduced, whole = head(name, target(), SIZE), head(name, target(), 0)
    tokens = reduced.tokens()
    weights = whole.state_dict()
    if name == "eagle3":
        weights["lm_head.weight"] = weights["lm_head.weight"][tokens]
    reduced.load_state_dict(weights, strict=False)
    one, other = drafter(name, reduced, target()), drafter(name, whole, target())
    Masked(other, tokens)
    steps = [record(each, target(), policy, RAGGED, Sampling(temperature, seed=2), 6) for each in (one, other)]

    assert drafted(steps[0]) <= set(tokens.tolist())
    for trees in zip(*steps, strict=True):
        check_same(*trees)


@pytest.mark.parametrize("name", HEADS)
def test_learns_and_drafts_what_answers_use_most(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    method = load_method(name, target(), draft_vocab=SIZE, rate=6e-3, warmup=2, decay=100).to(target().dtype)
    trainer = HeadTrainer(method, target(), examples(), plan(tmp_path, max_steps=24))
    trainer.run()
    answers = np.concatenate([one.tokens[one.response] for one in examples().examples])
    counts = torch.from_numpy(np.bincount(answers, minlength=VOCAB))
    loaded: Any = load_drafter(name, tmp_path, Target(target()))
    tokens = loaded.model.tokens()

    assert sum(losses(trainer)[-4:]) < 0.97 * sum(losses(trainer)[:4])
    assert len(tokens) == SIZE
    assert counts[tokens].min() >= counts[~torch.isin(torch.arange(VOCAB), tokens)].max()
    assert loaded.model.state_dict().keys() == method.head.state_dict().keys()
    for key, tensor in method.head.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key].to(tensor), tensor)
    assert drafted(record(loaded, target(), TREE, RAGGED, Sampling(1.0, seed=1), 6)) <= set(tokens.tolist())


@pytest.mark.parametrize("name", ["moa", "eagle"])
def test_loss_over_the_vocabulary(name: str) -> None:
    """Over the tokens that are drafted, by their rows of the target's head, where its likeliest is one of them."""
    batch, said = collate([examples()[index] for index in range(3)])["batch"], list[Tensor]()
    options = {"noise": 0.0} if name == "eagle" else {}
    method: Any = load_method(name, target(), draft_vocab=SIZE, **options).to(target().dtype)
    method.prepare(examples())
    method.head.register_forward_hook(lambda _, inputs, output: said.append(output))
    read = Teacher(target(), method.needs).read(batch)
    found = method(read, Progress(0.0, 1.0))["vocabulary"]
    truth, counted, tokens = read.last, batch.response, method.head.tokens()
    if name == "eagle":
        truth, counted = truth[:, 1:], batch.response[:, :-1] & batch.real[:, 1:]
    p, q = (target().lm_head(states)[counted] for states in (truth, said[0]))
    known = torch.isin(p.argmax(-1), tokens)
    expected = -(known * (p[:, tokens].softmax(-1) * q[:, tokens].log_softmax(-1)).sum(-1)).sum() / counted.sum()

    assert 0 < known.sum() < len(known)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", [None, HalfPrecisionLinear, *KINDS])
def test_rows_of_an_output_head_in_any_form(kind: Callable[[nn.Linear], nn.Module] | None) -> None:
    model = build("llama", dtype=torch.float32, vocab_size=16 * VOCAB)
    model.half().float()
    if kind is not None:
        model.lm_head = kind(model.lm_head)
    tokens, states = torch.tensor([3, 7, VOCAB + 2]), torch.randn(5, 32)
    rows = TargetParts.of(model).output_rows(tokens)

    torch.testing.assert_close(rows(states), model.lm_head(states)[:, tokens])
    assert not rows.weight.requires_grad


def test_rows_are_packed_for_drafting() -> None:
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("torch has no such product here")
    model = build("llama", dtype=torch.float32, hidden_size=512, vocab_size=2000).half().float()
    guess = drafter("moa", head("moa", model, 1000), model)

    assert isinstance(guess.parts.head, HalfPrecisionLinear)
    assert guess.parts.head.out_features == 1000


@pytest.fixture(params=["moa", "eagle"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Save a head in a folder of its name."""
    path: Path = tmp_path / request.param
    head(request.param, target(), SIZE).save_pretrained(path)
    return path


def change(folder: Path, weights: Callable[[dict[str, Tensor]], Any], fields: Callable[[dict[str, Any]], Any]) -> None:
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    weights(tensors)
    fields(config)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def test_heads_from_before_there_were_draft_vocabularies(folder: Path) -> None:
    def without(found: dict[str, Any]) -> None:
        for key in ("d2t", "t2d", "draft_vocab_size"):
            found.pop(key, None)

    change(folder, without, without)
    loaded: Any = load_drafter(folder.name, folder, Target(target()))

    assert not loaded.model.reduced
    assert loaded.vocabulary is None
    assert loaded.parts.head is target().lm_head


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda w: [w.pop("d2t"), w.pop("t2d")], f"draft_vocab_size {SIZE} as its config.json says, got {VOCAB}"),
        (lambda w: w.pop("d2t"), f"expected d2t in .* for {SIZE} tokens, got none"),
        (lambda w: w.update(d2t=w["d2t"][:-1]), rf"for {SIZE} tokens, got \({SIZE - 1},\)"),
        (lambda w: w.update(d2t=w["d2t"] + 1), "name the same tokens"),
        (lambda w: w.update(t2d=w["t2d"][:-1]), f"{VOCAB}.* got .*{VOCAB - 1}|the same tokens|for 29 tokens"),
    ],
)
def test_wrong_maps(folder: Path, weights: Callable[[dict[str, Tensor]], Any], message: str) -> None:
    change(folder, weights, lambda fields: None)
    with pytest.raises(WrongCheckpoint, match=message):
        load_drafter(folder.name, folder, Target(target()))


@pytest.mark.parametrize("name", HEADS)
def test_sizes(name: str) -> None:
    """As many as there are if more are wanted."""
    whole: Any = load_method(name, target(), draft_vocab=VOCAB + 1).head
    with pytest.raises(OptionError, match=f"1 to {VOCAB} tokens, or 0 for all of them, got -1"):
        load_method(name, target(), draft_vocab=-1)

    assert not whole.reduced
    assert whole.tokens().tolist() == list(range(VOCAB))


@pytest.mark.parametrize("name", HEADS)
def test_it_is_counted_in_answers_alone(name: str) -> None:
    method: Any = load_method(name, target(), draft_vocab=3)
    tokens = np.array([50, 50, 9, 9, 9, 7, 7, 7, 40, 40, 41], np.int32)
    method.prepare(Examples([Example(tokens, np.arange(11) >= 2), Example(tokens[:4], np.zeros(4, bool))]))

    assert method.head.tokens().tolist() == [7, 9, 40]
    assert method.head.t2d.nonzero()[:, 0].tolist() == [7, 9, 40]
