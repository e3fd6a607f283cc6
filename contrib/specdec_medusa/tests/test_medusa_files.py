"""Heads on disk: as they were, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from specdec_medusa import MedusaMethod
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from specdec import Decoder, Sampling, Step, Stop, Target, Tree, Verifier, load_drafter
from specdec.errors import OptionError, WrongCheckpoint
from specdec.heads import vocabulary_hash
from specdec.policies import Static
from specdec.testing import toy_model


@pytest.fixture
def folder(untaught: MedusaMethod, tmp_path: Path) -> Path:
    untaught.save(str(tmp_path))
    return tmp_path


def test_round_trip(untaught: MedusaMethod, folder: Path) -> None:
    target = Target(toy_model())
    drafter: Any = load_drafter("medusa", folder, target)
    for name, tensor in untaught.head.state_dict().items():
        assert torch.equal(drafter.model.state_dict()[name], tensor)
    steps = [
        Decoder(one, target, Static((2, 2))).generate([3, 1, 4], Sampling(1.0, seed=2), Stop(20, tokens=()))
        for one in (drafter, untaught.drafter())
    ]
    assert steps[0].tokens == steps[1].tokens
    assert steps[0].metrics.acceptance_length == steps[1].metrics.acceptance_length


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("size", [None, 0, 7, 100])
def test_cut_or_missing(folder: Path, file: str, size: int | None) -> None:
    if size is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes((folder / file).read_bytes()[:size])
    with pytest.raises(WrongCheckpoint, match=f"expected .*{folder}"):
        load_drafter("medusa", folder, Target(toy_model()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(model_type="llama"), "got a model of type 'llama'"),
        (lambda c: c.update(heads=2), "blocks.2"),
        (lambda c: c.update(heads=4), "blocks.3"),
        (lambda c: c.update(heads="three"), "heads"),
        (lambda c: c.update(hidden_size=31), "blocks.0.weight"),
    ],
)
def test_wrong_config(folder: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    fields = json.loads((folder / "config.json").read_text())
    change(fields)
    (folder / "config.json").write_text(json.dumps(fields))
    with pytest.raises(WrongCheckpoint, match=message):
        load_drafter("medusa", folder, Target(toy_model()))


@pytest.mark.parametrize("text", ["[]", "3", "null", '"medusa"'])
def test_config_that_is_none(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(WrongCheckpoint, match="to hold an object"):
        load_drafter("medusa", folder, Target(toy_model()))


@pytest.mark.parametrize(
    "change", [lambda w: w.pop("blocks.1.weight"), lambda w: w.update(extra=torch.zeros(1))], ids=["missing", "extra"]
)
def test_wrong_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(WrongCheckpoint, match=r"blocks\.1\.weight|extra"):
        load_drafter("medusa", folder, Target(toy_model()))


def tokenizer(first: str) -> PreTrainedTokenizerFast:
    vocabulary = {word: place for place, word in enumerate([first, *"bcdefghijklmnop"])}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="b")))


def test_another_target(untaught: MedusaMethod, tmp_path: Path) -> None:
    untaught.head.config.vocabulary = vocabulary_hash(tokenizer("a"))
    untaught.save(str(tmp_path))
    load_drafter("medusa", tmp_path, Target(toy_model()))  # which does not say what its tokens are
    load_drafter("medusa", tmp_path, Target(toy_model(), tokenizer("a")))
    with pytest.raises(WrongCheckpoint, match=r"vocabulary \w+, got .*, made for vocabulary \w+"):
        load_drafter("medusa", tmp_path, Target(toy_model(), tokenizer("z")))
    with pytest.raises(WrongCheckpoint, match=r"vocab_size 17, got .*, made for vocab_size 16"):
        load_drafter("medusa", tmp_path, Target(toy_model(17)))
    narrow = LlamaForCausalLM(LlamaConfig(**{**toy_model().config.to_dict(), "hidden_size": 16, "head_dim": 4}))
    with pytest.raises(WrongCheckpoint, match=r"hidden_size 16, got .*, made for hidden_size 32"):
        load_drafter("medusa", tmp_path, Target(narrow))


class Elsewhere(Verifier):
    """Has its model on another machine."""

    vocab_size = 16

    def prefill(self, *args: object) -> Step:
        raise NotImplementedError

    def verify(self, trees: list[Tree | None]) -> Step:
        raise NotImplementedError


def test_only_heads_with_output_layers_go_without_the_target(untaught: MedusaMethod, folder: Path) -> None:
    if untaught.head.config.own_output:
        assert load_drafter("medusa", folder, Elsewhere()).vocab_size == 16
    else:
        with pytest.raises(OptionError, match="target on this machine to take the output layer from"):
            load_drafter("medusa", folder, Elsewhere())
