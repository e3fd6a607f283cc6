"""The target: a transformers model, unmodified, that reads trees."""

from specdec.target.cache import SlotCache, Window
from specdec.target.engine import Engine, Reading, Slot
from specdec.target.masks import Layout
from specdec.target.verifier import Target

__all__ = ["Engine", "Layout", "Reading", "Slot", "SlotCache", "Target", "Window"]
