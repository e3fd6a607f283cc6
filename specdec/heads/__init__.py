"""A kit for heads: drafters that are trained for one target, and read what it computed."""

from specdec.heads.checkpoint import Checkpoint, check_made_for, fingerprint
from specdec.heads.copies import drafting_copy, joined
from specdec.heads.digest import weights_digest
from specdec.heads.drafter import HeadDrafter
from specdec.heads.draws import keyed_generator
from specdec.heads.files import find, read_all, read_fields, read_named, read_tensors
from specdec.heads.layer import KeysValues, Mask, Projection, SplitLayer, attend, float_type, norm, split_heads
from specdec.heads.losses import feature_loss, soft_cross_entropies, soft_cross_entropy
from specdec.heads.model import HeadModel
from specdec.heads.parts import TargetParts, target_config, target_parts
from specdec.heads.rotary import Rotary, RotaryTable, rotate
from specdec.pack import causal, pack_chains
from specdec.target.half import HalfPrecisionLinear
from specdec.vocabulary import vocabulary_hash

__all__ = [
    "Checkpoint",
    "HalfPrecisionLinear",
    "HeadDrafter",
    "HeadModel",
    "KeysValues",
    "Mask",
    "Projection",
    "Rotary",
    "RotaryTable",
    "SplitLayer",
    "TargetParts",
    "attend",
    "causal",
    "check_made_for",
    "drafting_copy",
    "feature_loss",
    "find",
    "fingerprint",
    "float_type",
    "joined",
    "keyed_generator",
    "norm",
    "pack_chains",
    "read_all",
    "read_fields",
    "read_named",
    "read_tensors",
    "rotate",
    "soft_cross_entropies",
    "soft_cross_entropy",
    "split_heads",
    "target_config",
    "target_parts",
    "vocabulary_hash",
    "weights_digest",
]
