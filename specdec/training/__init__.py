"""Training of heads on what a target computes: everything but the head and its loss, which a plugin brings.

`specdec.training.trainer` runs it, and stands apart for it takes long to import.
"""

from typing import Any

from transformers import PreTrainedModel

from specdec.plugins import plugins
from specdec.training.dataset import Examples
from specdec.training.lesson import Batch, Lesson, Teacher
from specdec.training.method import Method, Progress, Recipe, chosen_sizes, option, takes, written_sizes
from specdec.training.schedule import Schedule
from specdec.training.vocabulary import soft_cross_entropy


def load_method(name: str, model: PreTrainedModel, tokenizer: Any = None, seed: int = 0, **options: Any) -> Method:
    """Make a registered training method for a target."""
    method: Method = plugins().make("method", name, {"model": model, "tokenizer": tokenizer, "seed": seed}, options)
    return method


__all__ = [
    "Batch",
    "Examples",
    "Lesson",
    "Method",
    "Progress",
    "Recipe",
    "Schedule",
    "Teacher",
    "chosen_sizes",
    "load_method",
    "option",
    "soft_cross_entropy",
    "takes",
    "written_sizes",
]
