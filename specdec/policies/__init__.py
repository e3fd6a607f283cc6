"""Tree policies: how many children each node gets, and which nodes are worth verifying."""

from specdec.policies.adaptive import Adaptive
from specdec.policies.auto import Auto
from specdec.policies.chain import Chain
from specdec.policies.dynamic import Dynamic
from specdec.policies.hybrid import Hybrid
from specdec.policies.sequoia import Sequoia
from specdec.policies.static import Static

__all__ = ["Adaptive", "Auto", "Chain", "Dynamic", "Hybrid", "Sequoia", "Static"]
