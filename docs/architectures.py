"""Write into architectures.md which of transformers' causal models are served: `python docs/architectures.py`.

Each is built tiny, with random weights. It is served if its text is that of `generate`, in a batch and with trees.
"""

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from attrs import frozen
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import UnsupportedModel
from specdec.policies import Static

sys.path.append(str(Path(__file__).parent))
from tiny_models import VOCAB, tiny_model

PAGE = Path(__file__).parent / "architectures.md"
TABLE = re.compile(r"(<!-- table -->\n).*?(?=<!-- end -->)", re.DOTALL)
ARCHITECTURES = list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
COUNT = 12


@frozen
class Outcome:
    """What came of a model: `served`, `refused`, `different` or `not tried`, and why."""

    kind: str
    why: str = ""


def outcome(architecture: str, **options: Any) -> Outcome:
    """Try one architecture, if `generate` works as tiny as it is; the options are of its configuration."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = tiny_model(architecture, **options)
        except Exception as error:  # configurations fail in ways of their own
            return Outcome("not tried", _first_line(error))
        try:
            target = Target(model)
            expected = [_generate(model, prompt) for prompt in _prompts()]
        except UnsupportedModel as error:
            broken = _failure(model) if error.__cause__ else None
            return Outcome("not tried", f"generate fails: {broken}") if broken else Outcome("refused", str(error))
        for drafter, policy in ((NoDrafter(), None), (SmallModel(model), Static((2, 2)))):
            texts = Decoder(drafter, target, policy).generate(_prompts(), Sampling(), Stop(COUNT, tokens=())).tokens
            if [*map(list, texts)] != expected:
                return Outcome("different", f"generate says {expected}, got {texts} with {type(drafter).__name__}")
    return Outcome("served")


def table(architectures: list[str]) -> str:
    """Lay out what came of each."""
    lines = [f"With transformers {transformers.__version__}:", "", "|architecture|class|outcome|", "|---|---|---|"]
    for name in architectures:
        result = outcome(name)
        text = result.kind if result.kind == "served" else f"{result.kind}: {result.why}"
        lines.append(f"|{name}|{MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name]}|{text.replace('|', '/')}|")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def _prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, VOCAB, (size,), generator=generator).tolist() for size in (23, 5)]


def _generate(model: PreTrainedModel, prompt: list[int]) -> list[int]:
    ids = torch.tensor([prompt])
    text = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=COUNT, pad_token_id=0
    )
    new: list[int] = text[0, len(prompt) :].tolist()
    return new


def _failure(model: PreTrainedModel) -> str | None:
    """Say how `generate` fails, if it does."""
    try:
        _generate(model, _prompts()[0])
    except Exception as error:
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join([f"{type(error).__name__}:", *lines[:2]])[:200]


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    rows = table(ARCHITECTURES)
    PAGE.write_text(TABLE.sub(lambda found: found[1] + rows + "\n", page), encoding="utf-8")
