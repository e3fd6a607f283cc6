"""Measurements: `compare` puts drafters side by side, the other modules are commands of their own."""

from .compare import compare
from .entry import Entry, Trace
from .figures import Figures, loops
from .peers import Peer
from .questions import Question
from .rows import Row
from .run import Plan, Run

__all__ = ["Entry", "Figures", "Peer", "Plan", "Question", "Row", "Run", "Trace", "compare", "loops"]
