"""Small models of Python source that ship inside the package: a target, a draft, and prompts for them."""

import json
from importlib import resources
from pathlib import Path

MODELS = ("target", "draft")
HEADS = (
    "moa",
    "moa-tli1",
    "eagle",
    "eagle3",
    "medusa",
    "ablation-moa",
    "ablation-tli1",
    "ablation-tli2",
    "ablation-without-lsa",
    "ablation-without-blocks",
    "ablation-eagle",
    "ablation-eagle-wide",
)
PROMPTS = ("functions", "classes", "tests", "tuning")

__all__ = ["HEADS", "MODELS", "PROMPTS", "path", "prompts"]
__version__ = "0.1.0"


def path(name: str) -> Path:
    """The folder of a model, for `from_pretrained`, or of a head, for `specdec.load_drafter`."""
    return _data("model", name, (*MODELS, *HEADS)) / "models" / name


def prompts(name: str) -> list[str]:
    """The prompts of a set: beginnings of Python code that no model of the zoo was trained on."""
    file = _data("set of prompts", name, PROMPTS) / "prompts" / f"{name}.jsonl"
    return [json.loads(line)["turns"][0] for line in file.read_text(encoding="utf-8").splitlines()]


def _data(kind: str, name: str, known: tuple[str, ...]) -> Path:
    if name not in known:
        raise ValueError(f"no {kind} is named {name!r}; there are: {', '.join(known)}")
    return Path(str(resources.files(__name__)))
