"""How far a benchmark is, and how long it will take."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from specdec.bench.run import Run


class Progress:
    """A bar on standard error, in a terminal only: runs done, the one just done, the time gone and the time left."""

    def __init__(self, what: str, runs: int, console: Console | None = None) -> None:
        screen = console or Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]time left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[last]}"),
        )
        self._bar = Bar(*columns, console=screen, disable=not screen.is_terminal, transient=True)
        self._task = self._bar.add_task(what, total=runs, last="")

    def on_run(self, run: Run) -> None:
        """Count a run."""
        self._bar.update(self._task, advance=1, last=run.contender)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
