"""Named mistakes of other implementations (and a few of nobody's yet), as small wrong rules, trees and engines."""

from tests.mutants import acceptance, drafts, engine, noise, residual, stops
from tests.mutants.mutant import MUTANTS

__all__ = ["acceptance", "drafts", "engine", "noise", "residual", "stops"]

CATALOGUE = sorted(MUTANTS, key=lambda one: one.number)
