"""Acceptance rules: which of the drafted tokens are what the target would have said."""

from specdec.rules.lossy import Lenient, Typical
from specdec.rules.match import Match
from specdec.rules.rejection import Rejection
from specdec.rules.traversal import Traversal

__all__ = ["Lenient", "Match", "Rejection", "Traversal", "Typical"]
