"""A world in virtual time in which clients and servers of a split target are broken in every way, by one seed each."""

from specdec.testing.simulator.caller import Parts
from specdec.testing.simulator.removals import MECHANISMS, without
from specdec.testing.simulator.simulation import Outcome, Simulation, simulate
from specdec.testing.simulator.violation import Violation

__all__ = ["MECHANISMS", "Outcome", "Parts", "Simulation", "Violation", "simulate", "without"]
