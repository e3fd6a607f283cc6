"""Whatever was taken back, in the end a terminal shows the text, as if no other had ever been there."""

import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import get_character_cell_size
from rich.console import Console

from specdec.cli.screen import Screen
from specdec.cli.terminal import Terminal
from specdec.cli.transcript import OWN, Change, Piece

CODE = re.compile(r"\x1b\[(\d*)([A-Za-z])|(.)", re.DOTALL)


class Emulator:
    """A terminal: rows that have left it at its top stay as they are. A full row is left when the next letter comes."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.rows, self.row, self.column = [[]], 0, 0

    def feed(self, data):
        for number, code, letter in CODE.findall(data):
            if code == "A":
                self.row = max(self.row - int(number or 1), len(self.rows) - self.height, 0)
            elif code == "J":
                del self.rows[self.row + 1 :], self.rows[self.row][self.column :]
            elif letter == "\n":
                self._next()
            elif letter == "\r":
                self.column = 0
            elif letter:
                self._put(letter, get_character_cell_size(letter))
        return self

    def text(self):
        """What was ever shown and not taken back, row by row."""
        return ["".join(row).rstrip() for row in self.rows]

    def _put(self, letter, cells):
        if self.column + cells > self.width:
            self._next()
        row = self.rows[self.row]
        row += [" "] * (self.column - len(row))
        row[self.column : self.column + cells] = [letter, *[""] * (cells - 1)]
        self.column += cells

    def _next(self):
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.rows):
            self.rows.append([])


def pair(width, height):
    """A console and one for notes, of one terminal."""
    file, size = StringIO(), {"width": width, "height": height, "_environ": {}, "highlight": False}
    return Console(file=file, force_terminal=True, **size), Console(file=file, force_terminal=True, **size)


TEXT = st.text(st.sampled_from("ab c\n漢字😀\t"), max_size=40)
ACTS = st.lists(st.tuples(st.sampled_from(["settle", "tail", "note"]), TEXT), max_size=12)


@given(ACTS, st.integers(4, 12), st.integers(2, 6))
def test_in_the_end_there_is_the_text_alone(acts, width, height):
    text, notes = pair(width, height)
    terminal, settled, tail = Terminal(text, notes), "", ""
    for act, value in acts:
        if act == "settle":
            settled, tail = settled + value, ""
            terminal.show([(value, "green")], "")
        elif act == "tail":
            tail = value
            terminal.show([], tail)
        else:
            terminal.note(value)
    terminal.end()

    plain = (settled + tail).replace("\t", " " * 8) + "\n"
    assert Emulator(width, height).feed(text.file.getvalue()).text() == Emulator(width, height).feed(plain).text()


@pytest.mark.parametrize("width", [5, 6, 80])
def test_what_is_taken_back_is_written_again(width):
    text, notes = pair(width, 24)
    terminal = Terminal(text, notes)
    terminal.show([("one\ntwo 漢", None)], "")
    terminal.show([], "wrong\nand 字 more")
    before = Emulator(width, 24).feed(text.file.getvalue()).text()
    terminal.show([("right\n", None)], "")

    assert before == Emulator(width, 24).feed("one\ntwo 漢wrong\nand 字 more").text()
    assert (
        Emulator(width, 24).feed(text.file.getvalue()).text() == Emulator(width, 24).feed("one\ntwo 漢right\n").text()
    )


def test_what_the_terminal_has_no_rows_for_waits():
    text, notes = pair(20, 4)
    terminal = Terminal(text, notes)
    terminal.show([], "1\n2\n3\n4\n5\n6")
    shown = Emulator(20, 4).feed(text.file.getvalue()).text()
    terminal.end()

    assert shown == ["1", "2", "3", "4"]
    assert Emulator(20, 4).feed(text.file.getvalue()).text() == ["1", "2", "3", "4", "5", "6", ""]


def test_a_note_stands_below_the_text_and_goes_with_its_end():
    text, notes = pair(20, 6)
    screen = Screen(text, notes)
    screen.show(Change((Piece("abc", OWN),)))
    screen.note("connection lost, continuing alone")
    screen.show(Change((), "def", verified=False))
    shown = Emulator(20, 6).feed(text.file.getvalue()).text()
    screen._terminal.end()

    assert shown == ["abcdef", "connection lost, co"]
    assert Emulator(20, 6).feed(text.file.getvalue()).text() == ["abcdef", ""]


def test_notes_go_elsewhere_where_errors_do():
    text, errors = pair(20, 6)[0], Console(file=StringIO(), width=20)
    screen = Screen(text, errors)
    screen.show(Change((Piece("abc", OWN),)))
    screen.note("connection lost")

    assert text.file.getvalue() == "abc"
    assert errors.file.getvalue() == "connection lost\n"
