"""Every causal model of transformers that can be built tiny says what `generate` says, or is refused for a reason."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import transformers

DOCS = Path(__file__).parent.parent / "docs"
DIVERSE = {
    "cohere2": "served",
    "deepseek_v3": "served",
    "falcon": "served",
    "gemma3n_text": "served",
    "gpt_oss": "served",
    "granitemoehybrid": "refused",
    "internlm3": "served",
    "lfm2": "refused",
    "llama4_text": "served",
    "mixtral": "served",
    "modernbert-decoder": "served",
    "opt": "served",
    "phi3": "served",
    "qwen2_moe": "served",
    "roberta": "refused",
    "whisper": "refused",
}


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def architectures(monkeypatch_module: pytest.MonkeyPatch) -> ModuleType:
    return load("architectures")


@pytest.fixture(scope="module")
def monkeypatch_module() -> pytest.MonkeyPatch:
    """Take back what the module appends to the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        yield patch


@pytest.mark.parametrize("name", DIVERSE)
def test_a_model_says_what_generate_says_or_is_refused(name: str, architectures: ModuleType) -> None:
    result = architectures.outcome(name)

    assert result.kind == DIVERSE[name], result
    assert f"|{name}|" in architectures.PAGE.read_text("utf-8")


def test_layers_of_attention_alone_in_a_hybrid_class(architectures: ModuleType) -> None:
    """As Granite 4 dense is."""
    dense = {"num_local_experts": 0, "num_experts_per_tok": 0, "position_embedding_type": "rope"}
    result = architectures.outcome("granitemoehybrid", layer_types=["full_attention"] * 2, **dense)

    assert result.kind == "served", result


@pytest.mark.slow
def test_every_model_says_what_generate_says_or_is_refused(architectures: ModuleType) -> None:
    """If the page shows other outcomes of the same transformers, `python docs/architectures.py` writes it again."""
    shown = architectures.PAGE.read_text("utf-8")
    table = architectures.table(architectures.ARCHITECTURES)

    assert "|different:" not in table
    assert table.count("|served|") >= 100
    assert table in shown or f"With transformers {transformers.__version__}:" not in shown
