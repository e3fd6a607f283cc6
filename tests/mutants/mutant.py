"""Mistakes that speculative decoding makes, most of them shipped by somebody: each must be found."""

from collections.abc import Callable
from fractions import Fraction

from attrs import frozen

Distance = Fraction | float | None
"""How far the mutant's probabilities are from the target's; None where a property is broken that is no distance."""


@frozen
class Mutant:
    """A mistake, and the property that finds it: `run()` gives a distance above 0 or raises AssertionError."""

    number: int
    name: str
    shipped_by: str
    killed_by: str
    run: Callable[[], Distance]


MUTANTS: list[Mutant] = []


def mutant(number: int, name: str, killed_by: str, shipped_by: str = "-") -> Callable:
    """Enter a mutant in the list."""

    def enter(run: Callable[[], Distance]) -> Callable[[], Distance]:
        MUTANTS.append(Mutant(number, name, shipped_by, killed_by, run))
        return run

    return enter


def kill(one: Mutant) -> tuple[bool, str]:
    """Say whether a mutant is found, and by how much."""
    try:
        distance = one.run()
    except AssertionError as broken:
        return True, f"broken: {[*str(broken).splitlines(), type(broken).__name__][0][:60]}"
    return distance is not None and distance > 1e-12, "" if distance is None else f"{float(distance):.2g}"
