"""Experiments with a split target: its speed over links, and its drafters alone once the line is cut."""

from specdec.bench.split.disconnect import Disconnected, disconnect
from specdec.bench.split.link import LINKS, Link
from specdec.bench.split.pace import Times
from specdec.bench.split.split import Experiment, Measured

__all__ = ["LINKS", "Disconnected", "Experiment", "Link", "Measured", "Times", "disconnect"]
