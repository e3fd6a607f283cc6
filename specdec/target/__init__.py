"""The target: a transformers model, unmodified, that reads trees."""

from specdec.target.attention import Attention, DenseMask
from specdec.target.cache import SlotCache
from specdec.target.decisions import Decision, Session
from specdec.target.engine import Engine, Plan, Reading, Slot
from specdec.target.loading import Name, load_model, load_tokenizer
from specdec.target.sessions import Sessions
from specdec.target.slot_mapping import SlotMapping
from specdec.target.tree_pass import Chunk, TreePass, Window
from specdec.target.verifier import Target

__all__ = [
    "Attention",
    "Chunk",
    "Decision",
    "DenseMask",
    "Engine",
    "Name",
    "Plan",
    "Reading",
    "Session",
    "Sessions",
    "Slot",
    "SlotCache",
    "SlotMapping",
    "Target",
    "TreePass",
    "Window",
    "load_model",
    "load_tokenizer",
]
