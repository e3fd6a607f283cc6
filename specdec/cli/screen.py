"""What a person sees of a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unicodedata import category

from rich.console import Console
from rich.progress import Progress, TextColumn

from specdec.cli.run import ROUNDS, Comparison, Run
from specdec.decode import Decoder

DRAFTED = "green"


class Screen:
    """Shows a run while it lasts: its text on standard output, all else on standard error."""

    def __init__(self, console: Console | None = None, figures: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet, highlight=False)
        self._figures = figures or Console(stderr=True, quiet=quiet, highlight=False)

    def begin(self, prompt: str, decoder: Decoder) -> None:
        """Show the text that is continued; a chat's answer stands alone."""
        if self.console.is_terminal and not (decoder.tokenizer and decoder.tokenizer.chat_template):
            self.console.out(prompt, style="dim", end="")

    def piece(self, text: str, drafted: bool) -> None:
        """Show what a token adds, in the colour of where it came from."""
        if self.console.quiet:
            return
        if not self.console.is_terminal:
            self.console.file.write(text)
            return
        safe = "".join(letter if letter in "\n\t" or category(letter) != "Cc" else "\ufffd" for letter in text)
        self.console.out(safe, style=DRAFTED if drafted else None, end="")

    def end(self) -> None:
        """End the text's last line."""
        self.console.out("")
        self.console.file.flush()

    @contextmanager
    def rounds(self) -> Iterator[Callable[[int], None]]:
        """Say in a terminal which round of the comparison runs; gives what is to be told of each."""
        console, column = self._figures, TextColumn("{task.description}")
        with Progress(column, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("", visible=False)
            told = f"comparing with plain decoding, round {{}} of {ROUNDS} at most"
            yield lambda number: progress.update(task, description=told.format(number), visible=True)

    def figures(self, run: Run, comparison: Comparison | None) -> None:
        """Show the figures."""
        timed, summary = comparison.fast if comparison else run, run.summary
        legend = f" ([{DRAFTED}]drafted[/], the target's own)" if self.console.is_terminal else ""
        self._figures.print(
            f"\n[bold]{timed.tokens_per_second:.1f} tokens/s[/], acceptance length {summary.acceptance_length:.2f}, "
            f"{len(run.tokens)} tokens in {summary.steps} steps{legend}",
            soft_wrap=True,
        )
        if comparison:
            place, speed = comparison.difference, comparison.plain.tokens_per_second
            equal, differ = f"[{DRAFTED}]the texts are equal", f"[red]the texts differ from token {(place or 0) + 1} on"
            self._figures.print(
                f"plain decoding: {speed:.1f} tokens/s; speed-up {comparison.speedup:.2f}; "
                f"{equal if place is None else differ}[/]",
                soft_wrap=True,
            )
