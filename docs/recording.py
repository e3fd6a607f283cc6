"""Record a run of `specdec generate` as a picture: `python docs/recording.py`."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from specdec import Sampling, Stop
from specdec.cli import parts, runs, show

PROMPT = "def quicksort(items):"


def record(path: Path) -> None:
    """Decode with the zoo's models, as the command without options does, and keep what was shown."""
    console = Console(record=True, width=100, force_terminal=True, highlight=False, file=StringIO())
    console.print(f'[bold]$[/] specdec generate "{PROMPT}" --compare', soft_wrap=True)
    fast, plain = parts.load(parts.choose(None, None, None, "match"), "cpu")
    job, screen = runs.Job(PROMPT, Sampling(), Stop(max_tokens=160)), show.Screen(console)
    runs.warm_up(job, plain, fast)
    screen.begin(job.prompt, fast)
    run = runs.run(job, fast, screen.piece)
    screen.end(run, runs.compare(job, plain, fast))
    path.write_text(console.export_svg(title="specdec generate"), encoding="utf-8")


if __name__ == "__main__":
    record(Path(__file__).parent / "generate.svg")
