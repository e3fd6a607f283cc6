"""How figures are written, in a terminal and on a page."""

from collections.abc import Mapping
from typing import Any

from specdec.bench.entry import PLAIN
from specdec.bench.figures import Figures
from specdec.bench.lead import Lead
from specdec.bench.rows import ALL, Row
from specdec.bench.run import Plan

REFUSED = "refused"
INCOMPARABLE = "not comparable"


def setting(target: str, policy: str, rule: str, machine: Mapping[str, Any]) -> str:
    """Say what was compared on what, and by which clock."""
    parts = [f"target {target}", f"policy {policy}", f"rule {rule}"]
    known = [str(machine[name]) for name in ("processor", "device", "dtype") if name in machine]
    if "weights" in machine:
        known.append(f"{machine['weights']} weights")
    if "threads" in machine:
        known.append(f"{machine['threads']} thread{'' if machine['threads'] == 1 else 's'}")
    if "clock" in machine:
        known.append(f"clock: {machine['clock']}")
    return f"{', '.join(parts)}; {', '.join(known)}"


def heading(row: Row, plan: Plan) -> str:
    """Say what a table is about."""
    what = "all sets together" if row.prompt_set == ALL else row.prompt_set
    prompts = f"{row.figures.prompts} prompt{'' if row.figures.prompts == 1 else 's'}"
    rounds = f"{plan.repeats} time{'' if plan.repeats == 1 else 's'}"
    return f"{what}, temperature {row.temperature:g}: {prompts}, up to {plan.max_tokens} tokens each, {rounds}"


def cells(row: Row) -> list[str]:
    """Write a row's figures, in the order of `columns.HEADINGS`."""
    weights = f"{row.parameters / 1e6:.2f} M" if row.parameters else "0"
    return [row.drafter, *numbers(row, row.figures), weights]


def loop_cells(row: Row) -> list[str] | None:
    """Write its figures without the texts that loop; None if there were none of these, or nothing else."""
    if row.without_looping is None:
        return None
    return [f"  without {row.looping} looping", *numbers(row, row.without_looping), ""]


def numbers(row: Row, figures: Figures) -> list[str]:
    """Write figures, and in place of a speed-up why there is none."""
    return [
        f"{figures.tokens_per_second:.1f}",
        speedup(row, figures),
        f"{figures.acceptance_length:.2f}",
        f"{figures.acceptance_length_per_request:.2f}",
        f"{figures.draft_ms:.2f}",
        f"{figures.verify_ms:.2f}",
        f"{figures.other_ms:.2f}",
    ]


def speedup(row: Row, figures: Figures) -> str:
    """Write a speed-up with its interval."""
    if row.equal is None:
        return INCOMPARABLE
    if figures.speedup is None:
        return REFUSED
    if row.drafter == PLAIN:
        return "1"
    if figures.speedup_low is None:
        return f"{figures.speedup:.2f}"
    return f"{figures.speedup:.2f} ({figures.speedup_low:.2f} to {figures.speedup_high:.2f})"


def lead_cells(lead: Lead) -> list[str]:
    """Write a lead, in the order of `columns.LEAD_HEADINGS`."""
    return [lead.drafter, lead.other, f"{lead.acceptance_length:.2f}", f"{lead.speed:.2f}"]


def notes(rows: list[Row], interrupted: bool = False) -> list[str]:
    """Say why speed-ups are missing, where they are, and whether there are fewer prompts or runs than planned."""
    reasons = ["interrupted: the figures cover only what was measured before."] if interrupted else []
    if any(row.equal is None for row in rows):
        reasons.append(
            f"{INCOMPARABLE}: transformers draws other random numbers, so its texts differ, and are not as long; "
            "equality is checked at temperature 0."
        )
    refused = [row for row in rows if row.equal is False and row.prompt_set != ALL]
    if refused:
        reasons.append(
            f"{REFUSED}: the text is not that of plain decoding with the same seed, and a speed-up would compare two "
            "different things. Where they part:"
        )
    return reasons + [f"{row.drafter}: {row.difference}" for row in refused]
