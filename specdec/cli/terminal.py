"""Text on a terminal, whose unsettled end can be redrawn."""

from collections.abc import Iterator, Sequence
from unicodedata import category

from rich.cells import get_character_cell_size, set_cell_size
from rich.console import Console

UNVERIFIED = "yellow"
"""The style of text that is not verified."""
TAB = " " * 8
"""What is written in place of a tab."""
Span = tuple[str, str | None]
"""Text and its style."""


class Terminal:
    """Writes settled text, followed by unsettled text and a note, both of which can be replaced.

    A replacement is drawn from the beginning of the last settled line on, so that the terminal wraps lines as before.
    Unsettled text that does not fit on the screen is held back, because rows that have scrolled off cannot be redrawn.
    """

    def __init__(self, console: Console, notes: Console) -> None:
        """Write text to one console and notes to another; both are on the same terminal."""
        self._console, self._notes = console, notes
        self._line = list[Span]()
        """The last settled line."""
        self._tail = self._note = self._below = ""
        """The unsettled text, the note, and what of both is on the screen."""

    def show(self, settled: Sequence[Span], tail: str) -> None:
        """Replace the unsettled text by settled text, and by `tail`, which is unsettled."""
        self._write([(safe(text), style) for text, style in settled], safe(tail), self._note)

    def note(self, text: str) -> None:
        """Replace the note below the text."""
        self._write([], self._tail, safe(text).replace("\n", " "))

    def end(self) -> None:
        """Remove the note, settle all text, and end its last line."""
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
        """Erase the last settled line and all below it."""
        *_, row = 0, *rows(_text(self._line) + self._below, self._console.width)
        self._console.file.write(f"\x1b[{row}A" * (row > 0) + "\r\x1b[J")

    def _fitting(self) -> tuple[str, str]:
        """As much of the unsettled text as fits on the screen, and the note in a row of its own."""
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
    """Yield the cursor's row after each character of a text that begins in row 0, on a screen of so many columns."""
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
    """Replace control characters, which could move the cursor, except for line ends."""
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
