"""Looks at whether specdec, its plugins and this machine fit together, for `specdec doctor`."""

from specdec.doctor.checks import examine
from specdec.doctor.finding import Finding, Status

__all__ = ["Finding", "Status", "examine"]
