"""What the user sees of a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TextColumn

from specdec.cli.run import ROUNDS, Comparison, Run
from specdec.cli.status import Status, counted
from specdec.cli.terminal import UNVERIFIED, Terminal
from specdec.cli.transcript import ALONE, DRAFTED, Change
from specdec.decode import Decoder

STYLES = {DRAFTED: "green", ALONE: UNVERIFIED}


class Screen:
    """Shows a run while it lasts: its text on standard output, all else on standard error.

    A terminal also shows unverified text, and redraws it once it is verified; elsewhere it is held back until then.
    """

    def __init__(self, console: Console | None = None, figures: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet, highlight=False)
        self._figures = figures or Console(stderr=True, quiet=quiet, highlight=False)
        able = self.console.is_terminal and not (self.console.is_dumb_terminal or self.console.quiet)
        self._terminal = Terminal(self.console, self._figures) if able else None
        self._status: Status | None = None
        self._begun = False

    @contextmanager
    def text(self, prompt: str, decoder: Decoder, status: Status | None = None) -> Iterator[None]:
        """Show the prompt, unless it is a chat's, and end the last line of the text on leaving."""
        self._status = status
        if self._terminal and not (decoder.tokenizer and decoder.tokenizer.chat_template):
            self._begun = True
            self._terminal.show([(prompt, "dim")], "")
        try:
            yield
            self._begun = True
        finally:
            self._end()

    def show(self, change: Change) -> None:
        """Show what a step changes, each piece in the colour of its origin."""
        if self._terminal:
            self._begun = True
            self._terminal.show([(piece.text, STYLES.get(piece.origin)) for piece in change.settled], change.tail)
        elif change.settled and not self.console.quiet:
            self._begun = True
            self.console.file.write("".join(piece.text for piece in change.settled))
            self.console.file.flush()
        if self._status:
            self._status.follow(change)

    def note(self, text: str) -> None:
        """Show a message on the line to the server: below the text, or if that is elsewhere on standard error."""
        if self._terminal and self._begun and self._figures.is_terminal:
            self._terminal.note(text)
        else:
            self._figures.out(text, style="dim")

    @contextmanager
    def rounds(self) -> Iterator[Callable[[int], None]]:
        """In a terminal, show which round of the comparison runs; yields the function to call with its number."""
        console, column = self._figures, TextColumn("{task.description}")
        with Progress(column, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("", visible=False)
            told = f"comparing with plain decoding, round {{}} of {ROUNDS} at most"
            yield lambda number: progress.update(task, description=told.format(number), visible=True)

    def figures(self, run: Run, comparison: Comparison | None) -> None:
        """Show the figures; speed and steps are of the same run."""
        timed = comparison.fast if comparison else run
        unverified = f", [{UNVERIFIED}]not verified[/]" if run.alone else ""
        legend = f" ([green]drafted[/], the target's own{unverified})" if self._terminal else ""
        self._print(
            f"\n[bold]{timed.tokens_per_second:.1f} tokens/s[/], acceptance length "
            f"{timed.summary.acceptance_length:.2f}, "
            f"{counted(len(timed.tokens), 'token')} in {counted(timed.summary.steps, 'step')}{legend}"
        )
        if run.traffic:
            self._print(_line(run))
        if run.unverified:
            held = "" if self._terminal else ", and held back"
            were = "was" if run.unverified == 1 else "were"
            self._print(f"[{UNVERIFIED}]the last {counted(run.unverified, 'token')} {were} never verified{held}[/]")
        if comparison:
            place, speed = comparison.difference, comparison.plain.tokens_per_second
            equal, differ = "[green]the texts are equal", f"[red]the texts differ from token {(place or 0) + 1} on"
            self._print(
                f"plain decoding: {speed:.1f} tokens/s; speed-up {comparison.speedup:.2f}; "
                f"{equal if place is None else differ}[/]"
            )

    def _print(self, line: str) -> None:
        self._figures.print(line, soft_wrap=True)

    def _end(self) -> None:
        if self._terminal and self._begun:
            self._terminal.end()
        elif self._begun:
            self.console.out("")
        self.console.file.flush()


def _line(run: Run) -> str:
    """Describe the traffic with the server, and the tokens that did not come from it."""
    traffic = run.traffic
    if traffic is None:
        return ""
    counts = [(run.restored, "from the journal"), (run.alone, "drafted alone"), (run.retracted, "taken back")]
    words = [f"{counted(number, 'token')} {what}" for number, what in counts if number]
    sizes = f"{traffic.bytes_up / 1000:.1f} kB sent, {traffic.bytes_down / 1000:.1f} kB received"
    return "; ".join([*words, f"{counted(traffic.round_trips, 'round trip')}, {sizes}"])
