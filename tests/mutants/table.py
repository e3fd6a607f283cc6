"""The table of mutants: who shipped it, what found it, and how far it is from the target's law."""

from tests.mutants.mutant import Mutant

FINDINGS: dict[tuple[int, str], tuple[Mutant, str]] = {}


def lines() -> list[str]:
    """Lay out what was found."""
    rows = [("#", "mutant", "shipped by", "killed by", "total variation")]
    for _, (one, how) in sorted(FINDINGS.items()):
        rows.append((str(one.number), one.name, one.shipped_by, one.killed_by, how))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]
