"""Models whose weights are read in half precision say what they say in float32, or keep them."""

from time import perf_counter

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from specdec import Decoder, Sampling, Stop, Target
from specdec.bench import Peer
from specdec.bench.entry import Speculative
from specdec.bench.result import machine
from specdec.cli.benchmark import Benchmark
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import OptionError
from specdec.policies import Chain
from specdec.spec import Spec
from specdec.target import half, load_model
from specdec.target.half import HalfPrecisionLinear, is_packed, pack_weights
from specdec.target.weights import weights_hash
from tests.toys import build

pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="torch has the product for x86 alone"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model that was stored in half precision; the caches of processors are larger than it."""
    build("llama", seed=3, dtype=torch.float32).half().save_pretrained(tmp_path)
    monkeypatch.setattr(half, "MODEL_MIN", 0)
    return tmp_path


def packed(model):
    return [name for name, module in model.named_modules() if isinstance(module, HalfPrecisionLinear)]


def linears(model):
    return [name for name, module in model.named_modules() if type(module) is nn.Linear]


@pytest.mark.parametrize("weights", ["auto", "half"])
def test_the_text_is_that_of_generate(folder, weights):
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model = load_model(folder, weights=weights)
    prompt = [5, 3, 9, 1]
    ids = torch.tensor([prompt])
    expected = whole.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
    decoder = Decoder(SmallModel(model), Target(model), Chain(3))
    stop = Stop(24, tokens=())

    assert packed(model) == linears(whole)
    assert decoder.generate(prompt, stop=stop).tokens[0] == tuple(expected[0, 4:].tolist())
    sampled = Sampling(temperature=1.0, seed=2)
    plain = Decoder(NoDrafter(), Target(whole)).generate(prompt, sampled, stop).tokens
    assert decoder.generate(prompt, sampled, stop).tokens == plain


def test_it_is_recognised_and_saved_as_what_it_was(folder, tmp_path):
    whole, model = (load_model(folder, weights=weights) for weights in ("full", "half"))
    model.save_pretrained(tmp_path / "again")
    again = load_model(tmp_path / "again", weights="full")

    assert weights_hash(model) == weights_hash(whole) == weights_hash(again)
    assert [*model.state_dict()] == [*whole.state_dict()]


def test_generate_of_transformers_is_measured_with_full_weights(folder):
    target = Target(load_model(folder))
    peer = Peer.load(Spec.parse("hf"), target)

    assert is_packed(target.model)
    assert not is_packed(peer.model)
    assert Peer.load(Spec.parse("hf"), Target(peer.model)).model is peer.model
    assert [machine(model)["weights"] for model in (target.model, peer.model)] == ["half", "full"]


def test_rows_of_transformers_share_one_copy(folder):
    specs = [Spec.parse(text) for text in ("hf", "ngram", "hf-lookup")]
    _, found = Benchmark(Target(load_model(folder)), specs, {}, [], "chain", perf_counter)._load()

    assert found["hf"].model is found["hf-lookup"].model


@pytest.mark.parametrize(("weight", "packs"), [(2.0**-18 * 1.0078125, True), (65_504.0, True), (2.0**17, False)])
def test_a_weight_moves_by_half_a_step_at_most(folder, weight, packs):
    """Of bfloat16, some below 8e-6 do; what half precision has no number for stays."""
    layer = nn.Linear(8, 8, bias=False)
    nn.init.constant_(layer.weight, weight)
    model = nn.Sequential(layer)
    pack_weights(model, "auto")

    assert is_packed(model) == packs
    if packs:
        assert (model.state_dict()["0.weight"].float() - weight).abs().max() <= half.STEP


def test_its_weights_are_counted(folder):
    """Of a drafter those that are its own, packed or not."""
    whole, model = (load_model(folder, weights=weights) for weights in ("full", "half"))
    count = sum(weight.numel() for weight in whole.parameters())
    target = Target(build("llama"))

    assert Speculative("small", SmallModel(whole), target, Chain(1)).parameters == count
    assert Speculative("small", SmallModel(model), target, Chain(1)).parameters == count
    assert Speculative("small", SmallModel(model), Target(model), Chain(1)).parameters == 0


def test_a_small_model_and_full_weights_stay(folder, monkeypatch):
    assert packed(load_model(folder, weights="full")) == []
    monkeypatch.setattr(half, "MODEL_MIN", 2**22)
    assert packed(load_model(folder)) == []
    assert packed(load_model(folder, weights="half")) != []


@pytest.mark.parametrize("value", [0.1, 1e5, float("nan")])
def test_what_would_be_rounded_stays_or_is_refused_before_anything_is_changed(folder, value):
    model = load_model(folder, weights="full")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[3, 2] = value
    with pytest.raises(OptionError, match=r"got model\.layers\.1\.mlp\.down_proj: it moves weights further"):
        pack_weights(model, "half")

    assert packed(model) == []
    pack_weights(model, "auto")
    assert linears(model) == ["model.layers.1.mlp.down_proj"]


def test_other_types_have_no_such_product(folder):
    with pytest.raises(OptionError, match=r"no such product here for torch\.bfloat16 on cpu"):
        load_model(folder, weights="half", dtype=torch.bfloat16)
    assert packed(load_model(folder, dtype=torch.float64)) == []


def test_there_are_three_choices(folder):
    with pytest.raises(OptionError, match="expected weights to be one of full, half, auto, got 'int4'"):
        load_model(folder, weights="int4")
