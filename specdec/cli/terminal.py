"""Text on a terminal, of which the end may be written again."""

from collections.abc import Iterator, Sequence
from unicodedata import category

from rich.cells import get_character_cell_size, set_cell_size
from rich.console import Console

UNVERIFIED = "yellow"
"""The style of text that is not verified."""
TAB = " " * 8
"""What stands for a tab, wherever it is."""
Span = tuple[str, str | None]
"""Text and its style."""


class Terminal:
    """Writes settled text, and below it, to be taken back, what is not settled and a note.

    Whatever takes the place of these is written from the beginning of the last settled line on, so that lines that the
    terminal wraps are wrapped again as they were. What the terminal has no rows for is held back, for what has left it
    at its top cannot be taken back.
    """

    def __init__(self, console: Console, notes: Console) -> None:
        """Write text to one console and notes to another, which show on one terminal."""
        self._console, self._notes = console, notes
        self._line = list[Span]()
        """The last settled line."""
        self._tail = self._note = self._below = ""
        """What is not settled, the note, and what the terminal shows of both."""

    def show(self, settled: Sequence[Span], tail: str) -> None:
        """Write settled text in the place of what was not settled, and after it what is not."""
        self._write([(safe(text), style) for text, style in settled], safe(tail), self._note)

    def note(self, text: str) -> None:
        """Put a note below the text, in the place of the last one."""
        self._write([], self._tail, safe(text).replace("\n", " "))

    def end(self) -> None:
        """Take the note away, settle all text, and end its last line."""
        self._write([(self._tail, UNVERIFIED), ("\n", None)], "", "")

    def _write(self, settled: Sequence[Span], tail: str, note: str) -> None:
        spans = [*settled]
        if self._below:
            self._erase()
            spans = [*self._line, *settled]
        self._line, self._tail, self._note = _last_line([*self._line, *settled]), tail, note
        tail, note = self._fitting()
        for text, style in [*spans, (tail, UNVERIFIED)]:
            if text:
                self._console.out(text, style=style, end="")
        self._console.file.flush()
        if note:
            self._notes.out(note, style="dim", end="")
        self._below = tail + note

    def _erase(self) -> None:
        """Take away the last settled line and all below it."""
        *_, row = 0, *rows(_text(self._line) + self._below, self._console.width)
        self._console.file.write(f"\x1b[{row}A" * (row > 0) + "\r\x1b[J")

    def _fitting(self) -> tuple[str, str]:
        """Give as much of what is not settled as the terminal has rows for, and the note in a row of its own."""
        if not (self._tail or self._note):
            return "", ""
        width, height = self._console.size
        line = _text(self._line)
        note = f"\n{set_cell_size(self._note, width - 1).rstrip()}" if self._note else ""
        most = height - bool(note)
        fits = sum(row < most for row in rows(line + self._tail, width))
        if fits < len(line):
            return "", ""
        return self._tail[: fits - len(line)], note


def rows(text: str, width: int) -> Iterator[int]:
    """Say for each character in which row the cursor is after it, if the text begins a row."""
    row = column = 0
    for letter in text:
        if letter == "\n":
            row, column = row + 1, 0
        else:
            cells = get_character_cell_size(letter)
            if column + cells > width:
                row, column = row + 1, 0
            column += cells
        yield row


def safe(text: str) -> str:
    """Give text without characters that would move the cursor, but for ends of lines."""
    text = text.replace("\t", TAB)
    return "".join(letter if letter == "\n" or category(letter) != "Cc" else "\ufffd" for letter in text)


def _last_line(spans: Sequence[Span]) -> list[Span]:
    line = list[Span]()
    for text, style in spans:
        _, newline, after = text.rpartition("\n")
        line = [(after, style)] if newline else [*line, (text, style)]
    return line


def _text(spans: Sequence[Span]) -> str:
    return "".join(text for text, _ in spans)
