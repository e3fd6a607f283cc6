"""Measurements: `compare` puts drafters side by side, the other modules are commands of their own."""

from specdec.bench.compare import compare
from specdec.bench.entry import Entry, Trace
from specdec.bench.figures import Figures
from specdec.bench.peers import Peer
from specdec.bench.questions import Question
from specdec.bench.rows import Row
from specdec.bench.run import Plan, Run

__all__ = ["Entry", "Figures", "Peer", "Plan", "Question", "Row", "Run", "Trace", "compare"]
