"""The target: a transformers model, unmodified, that reads trees."""

from specdec.target.engine import Engine, Reading, Slot
from specdec.target.verifier import Target

__all__ = ["Engine", "Reading", "Slot", "Target"]
