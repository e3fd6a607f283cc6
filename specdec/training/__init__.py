"""Training of heads on what a target computes: everything but the head and its loss, which a plugin brings.

`specdec.training.trainer` runs it, and is imported apart because it takes long to import.
"""

from typing import Any

from transformers import PreTrainedModel

from specdec.plugins import plugins
from specdec.training.checkpoints import STATE, last_whole
from specdec.training.dataset import Example, Examples, collate
from specdec.training.method import Progress, TrainingMethod, chosen_sizes, option, takes, written_sizes
from specdec.training.muon import MuonAdamW
from specdec.training.recipe import MATRICES, Recipe
from specdec.training.schedule import Schedule
from specdec.training.start import START, check_start, continued
from specdec.training.teacher import Batch, Teacher, TeacherBatch
from specdec.training.together import Together, shorten


def load_method(
    name: str, model: PreTrainedModel, tokenizer: Any = None, seed: int = 0, **options: Any
) -> TrainingMethod:
    """Make a registered training method for a target."""
    method: TrainingMethod = plugins().make(
        "method", name, {"model": model, "tokenizer": tokenizer, "seed": seed}, options
    )
    return method


__all__ = [
    "MATRICES",
    "START",
    "STATE",
    "Batch",
    "Example",
    "Examples",
    "MuonAdamW",
    "Progress",
    "Recipe",
    "Schedule",
    "Teacher",
    "TeacherBatch",
    "Together",
    "TrainingMethod",
    "check_start",
    "chosen_sizes",
    "collate",
    "continued",
    "last_whole",
    "load_method",
    "option",
    "shorten",
    "takes",
    "written_sizes",
]
