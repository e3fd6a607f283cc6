"""Speculative decoding: a large language model made faster without changing what it says."""

from specdec.chance import Chance, Dice, Key, Keyed, Noise, Probs, Purpose
from specdec.context import Context, Step
from specdec.decode import Decoder, Generation
from specdec.errors import OptionError, WrongCheckpoint
from specdec.features import Encoder, Features, Needs
from specdec.frontier import Frontier
from specdec.grow import grow
from specdec.hookspecs import Register, hookimpl
from specdec.interfaces import Drafter, Rule, TargetProbs, Transport, TreePolicy, Verifier, Walk
from specdec.metrics import Metrics, Summary
from specdec.options import Sampling, Stop
from specdec.pack import PADDING, Packed, bits, pack, pad
from specdec.plugins import find_model, load_drafter, load_policy, load_rule, load_transport, load_verifier
from specdec.prefix import Prefix
from specdec.target import Target
from specdec.tree import Tree

__version__ = "0.1.0"

__all__ = [
    "PADDING",
    "Chance",
    "Context",
    "Decoder",
    "Dice",
    "Drafter",
    "Encoder",
    "Features",
    "Frontier",
    "Generation",
    "Key",
    "Keyed",
    "Metrics",
    "Needs",
    "Noise",
    "OptionError",
    "Packed",
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
    "load_rule",
    "load_transport",
    "load_verifier",
    "pack",
    "pad",
]
