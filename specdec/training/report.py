"""What a person sees of a run: a bar at a terminal, and a line for each log."""

from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback

NAMES = {
    "grad_norm": "norm of the gradient",
    "learning_rate": "rate",
    "acceptance_length": "acceptance length of a chain",
    "acceptance_length_tree": "of a tree",
}
LEFT_OUT = {"epoch", "total_flos"}
FEW = 3
"""Steps from which the time of the others is estimated, after a first one that takes longer."""
SOON = 30.0
"""Seconds that need no estimate."""


class Report(TrainerCallback):
    """Shows the steps of a run; of several processes, the first alone speaks."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(highlight=False, soft_wrap=True, quiet=quiet)
        self._bar = bar("steps", self.console)
        self._task = self._bar.add_task("", total=None)
        self._times: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin the bar where the run begins."""
        if state.is_world_process_zero:
            at = f"continuing after step {state.global_step}" if state.global_step else "from the start"
            self.console.print(f"training {at}, {state.max_steps} steps in all")
            self._bar.update(self._task, total=state.max_steps, completed=state.global_step)
            self._bar.start()

    def nothing_left(self, steps: int) -> None:
        """Tell that the run in the output was at its end."""
        self.console.print(
            f"nothing left to train: the run has taken all {steps} steps; raise --epochs or --max-steps to train longer"
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar; after a few steps, say how long the others will take."""
        self._bar.update(self._task, completed=state.global_step)
        self._times.append(perf_counter())
        if len(self._times) == FEW + 1 and state.is_world_process_zero:
            seconds = (self._times[-1] - self._times[0]) / FEW * (state.max_steps - state.global_step)
            if seconds > SOON:
                self.console.print(f"the other {state.max_steps - state.global_step} steps take {duration(seconds)}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Print the figures; those of the whole run, at its end, are left to TensorBoard."""
        if state.is_world_process_zero and "train_runtime" not in logs:
            figures = [f"{_named(name)} {value:.4g}" for name, value in logs.items() if name not in LEFT_OUT]
            self.console.print(f"step {state.global_step}, epoch {state.epoch or 0:.2f}: {', '.join(figures)}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the bar."""
        self.stop()

    def stop(self) -> None:
        """Give the terminal back."""
        self._bar.stop()


def _named(figure: str) -> str:
    """Name a figure for a person; after the head's own name, if there are several."""
    head, slash, name = figure.removeprefix("eval_").rpartition("/")
    return f"{head}{': ' if slash else ''}{NAMES.get(name, name.replace('_', ' '))}"


def duration(seconds: float) -> str:
    """Write roughly how long something takes."""
    if seconds >= 2 * 3600:
        return f"about {seconds / 3600:.0f} hours"
    return f"about {seconds / 60:.0f} minutes" if seconds >= 2 * 60 else f"about {seconds:.0f} seconds"


def bar(unit: str, console: Console) -> Progress:
    """Make a bar that shows nothing where the console is no terminal."""
    columns = TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=console.quiet or not console.is_terminal)
