"""What a person sees."""

from collections.abc import Sequence
from unicodedata import category

from rich.console import Console
from rich.table import Table

from specdec.cli.runs import Comparison, Run
from specdec.decode import Decoder
from specdec.plugins import Entry

DRAFTED = "green"


class Screen:
    """Shows a run as it goes on."""

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet, highlight=False)

    def begin(self, prompt: str, decoder: Decoder) -> None:
        """Show the text that is to be gone on from; a chat's answer begins anew."""
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

    def end(self, run: Run, comparison: Comparison | None) -> None:
        """Show the figures."""
        timed, summary = comparison.fast if comparison else run, run.summary
        self.console.print(
            f"\n\n[bold]{timed.tokens_per_second:.1f} tokens/s[/], acceptance length {summary.acceptance_length:.2f}, "
            f"{len(run.tokens)} tokens in {summary.steps} steps ([{DRAFTED}]drafted[/], the target's own)",
            soft_wrap=True,
        )
        if comparison:
            self.console.print(_compared(comparison), soft_wrap=True)


def plugin_table(entries: Sequence[Entry]) -> None:
    """Print what is registered."""
    table = Table("kind", "name", "from", box=None)
    for entry in entries:
        table.add_row(entry.kind, entry.name, entry.distribution)
    Console().print(table)


def _compared(comparison: Comparison) -> str:
    plain = f"plain decoding: {comparison.plain.tokens_per_second:.1f} tokens/s; speed-up {comparison.speedup:.2f}"
    if comparison.equal:
        return f"{plain}; [{DRAFTED}]the texts are equal[/]"
    return f"{plain}; [red]the texts differ from token {comparison.difference + 1} on[/]"
