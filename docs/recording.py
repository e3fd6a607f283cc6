"""Record a run of `specdec generate` as a picture: `python docs/recording.py`."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from specdec import Sampling, Stop
from specdec.cli import parts, run
from specdec.cli.screen import Screen

PROMPT = "def quicksort(items):"


def record(path: Path) -> None:
    """Decode with the zoo's models, as the command without options does, and keep what was shown."""
    console = Console(record=True, width=100, force_terminal=True, highlight=False, file=StringIO())
    console.print(f'[bold]$[/] specdec generate "{PROMPT}" --compare', soft_wrap=True)
    loaded = parts.load(None, None, None, "match", "cpu")
    job, screen = run.Job(PROMPT, Sampling(), Stop(max_tokens=160)), Screen(console, console)
    run.warm_up(job, loaded.plain, loaded.decoder)
    with screen.text(job.prompt, loaded.decoder):
        once = run.run(job, loaded.decoder, screen.show)
    screen.figures(once, run.compare(job, loaded.plain, loaded.decoder))
    path.write_text(console.export_svg(title="specdec generate"), encoding="utf-8")


if __name__ == "__main__":
    record(Path(__file__).parent / "generate.svg")
