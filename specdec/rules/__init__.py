"""Acceptance rules: which of the drafted tokens are what the target would have said."""

from specdec.rules.match import Match
from specdec.rules.rejection import Rejection

__all__ = ["Match", "Rejection"]
