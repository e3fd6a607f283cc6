"""Record runs of `specdec generate` as pictures: `python docs/recording.py zoo smollm2`."""

import sys
from io import StringIO
from pathlib import Path

from attrs import frozen
from rich.console import Console

from specdec import Sampling, Stop
from specdec.cli import parts, run
from specdec.cli.screen import Screen

MAX_TOKENS = 200
"""The default of the command."""


@frozen
class Recording:
    """A picture, and the command that it is of; `target` is None for the zoo's."""

    file: str
    prompt: str
    target: str | None = None

    def command(self) -> str:
        """Give the command as a user types it."""
        target = f" --target {self.target}" if self.target else ""
        return f'specdec generate "{self.prompt}"{target} --compare'

    def record(self, folder: Path) -> None:
        """Decode as the command does, and keep what was shown."""
        console = Console(record=True, width=100, force_terminal=True, highlight=False, file=StringIO())
        console.print(f"[bold]$[/] {self.command()}", soft_wrap=True)
        loaded = parts.load(self.target, None, None, "match", "cpu")
        sampling = Sampling.of(loaded.decoder.verifier.generation_config)
        job, screen = run.Job(self.prompt, sampling, Stop(MAX_TOKENS)), Screen(console, console)
        run.warm_up(job, loaded.plain, loaded.decoder)
        with screen.text(job.prompt, loaded.decoder):
            once = run.run(job, loaded.decoder, screen.show)
        screen.figures(once, run.compare(job, loaded.plain, loaded.decoder, before=[once]))
        (folder / self.file).write_text(console.export_svg(title="specdec generate"), encoding="utf-8")


RECORDINGS = {
    "zoo": Recording("generate.svg", "def quicksort(items):"),
    "smollm2": Recording("smollm2.svg", "Give me five tips for a good night's sleep.", "smollm2"),
}

if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - RECORDINGS.keys():
        raise SystemExit(f"expected {' or '.join(RECORDINGS)}, got {', '.join(unknown)}")
    for name in sys.argv[1:] or RECORDINGS:
        RECORDINGS[name].record(Path(__file__).parent)
