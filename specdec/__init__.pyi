"""Speculative decoding: a large language model made faster without changing what it says."""

from .chance import Chance, Dice, Key, Keyed, Noise, Probs, Purpose
from .context import Context, Step
from .decode import Decoder, Generation
from .errors import OptionError, WrongCheckpoint
from .features import Encoder, Features, Needs
from .frontier import Frontier
from .grow import grow
from .hookspecs import Register, hookimpl
from .interfaces import Drafter, Rule, TargetProbs, Transport, TreePolicy, Verifier, Walk
from .metrics import Metrics, Summary
from .options import Sampling, Stop
from .pack import PADDING, Packed, bits, pack, pad
from .pending import FeaturesAt, FeatureSource, PendingFeatures
from .plugins import (
    find_model,
    load_drafter,
    load_policy,
    load_processor,
    load_rule,
    load_transport,
    load_verifier,
)
from .prefix import Prefix
from .target import Target
from .transfer import upload
from .tree import Tree

__version__: str

__all__ = [
    "PADDING",
    "Chance",
    "Context",
    "Decoder",
    "Dice",
    "Drafter",
    "Encoder",
    "FeatureSource",
    "Features",
    "FeaturesAt",
    "Frontier",
    "Generation",
    "Key",
    "Keyed",
    "Metrics",
    "Needs",
    "Noise",
    "OptionError",
    "Packed",
    "PendingFeatures",
    "Prefix",
    "Probs",
    "Purpose",
    "Register",
    "Rule",
    "Sampling",
    "Step",
    "Stop",
    "Summary",
    "Target",
    "TargetProbs",
    "Transport",
    "Tree",
    "TreePolicy",
    "Verifier",
    "Walk",
    "WrongCheckpoint",
    "bits",
    "find_model",
    "grow",
    "hookimpl",
    "load_drafter",
    "load_policy",
    "load_processor",
    "load_rule",
    "load_transport",
    "load_verifier",
    "pack",
    "pad",
    "upload",
]
