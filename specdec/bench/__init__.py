"""Measurements: `compare` puts drafters side by side, the other modules are commands of their own."""

from specdec.bench.compare import compare
from specdec.bench.contender import Contender, Trace
from specdec.bench.figures import Figures
from specdec.bench.peers import Peer
from specdec.bench.questions import Question
from specdec.bench.rows import Row
from specdec.bench.run import Plan, Run

__all__ = ["Contender", "Figures", "Peer", "Plan", "Question", "Row", "Run", "Trace", "compare"]
