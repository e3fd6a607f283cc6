"""Break a split target in virtual time: `python -m specdec.testing.simulate`.

The shipped server, clients, failover and journal run on a toy target, each seed in a world of its own; whatever is
said, shown or held is compared with what may be. The last line says how many seeds, and how long that took.
"""

import gc
import json
from time import process_time
from typing import Annotated

import typer
from attrs import asdict

from specdec.testing.simulator import MECHANISMS, simulate, without

Seeds = Annotated[int, typer.Option(min=1, help="How many seeds.")]
First = Annotated[int, typer.Option(min=0, help="The first of them.")]
Without = Annotated[str | None, typer.Option("--without", help=f"Take out a mechanism: {', '.join(MECHANISMS)}.")]
Trace = Annotated[bool, typer.Option("--trace", help="Print each event.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def main(
    seeds: Seeds = 2000, first: First = 0, removed: Without = None, trace: Trace = False, as_json: Json = False
) -> None:
    """Break a split target, once for each seed. Fails at the first seed that shows a violation."""
    gc.freeze()  # what is imported stays
    began, events, hours, done = process_time(), 0, 0.0, 0
    with without(removed):
        for seed in range(first, first + seeds):
            outcome = simulate(seed, trace=print if trace else None)
            done, events, hours = done + 1, events + outcome.events, hours + outcome.seconds / 3600
            if outcome.violation is not None:
                break
    spent = process_time() - began
    if as_json:
        figures = {"seeds": done, "events": events, "virtual_hours": hours, "cpu_seconds": spent}
        failed = asdict(outcome) if outcome.violation is not None else None
        print(json.dumps({**figures, "without": removed, "failed": failed}, indent=2))
    elif outcome.violation is not None:
        print(f"seed {outcome.seed}: {outcome.violation}")
        print(f"again: python -m specdec.testing.simulate --seeds 1 --first {outcome.seed}", end="")
        print(f" --without {removed}" if removed else "")
    if not as_json:
        print(f"{done} seeds, {events} events, {hours:.2f} virtual hours, {spent:.0f} s of CPU")
    raise typer.Exit(outcome.violation is not None)


if __name__ == "__main__":
    typer.run(main)
