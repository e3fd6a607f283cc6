"""The target: a transformers model, unmodified, that reads trees."""

from specdec.target.attention import Attention, DenseMask
from specdec.target.cache import SlotCache
from specdec.target.engine import Engine, Reading, Slot
from specdec.target.slot_mapping import SlotMapping
from specdec.target.tree_pass import TreePass
from specdec.target.verifier import Target

__all__ = ["Attention", "DenseMask", "Engine", "Reading", "Slot", "SlotCache", "SlotMapping", "Target", "TreePass"]
