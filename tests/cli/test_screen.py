"""What is shown: whole characters, in the colour of where they came from."""

from io import StringIO

from rich.console import Console

from specdec import Decoder, Stop, Target
from specdec.cli.run import Comparison, Job, Run, run
from specdec.cli.screen import Screen
from specdec.cli.transcript import ALONE, DRAFTED, OWN, Change, Piece, Transcript
from specdec.context import Step
from specdec.drafters import Ngram
from specdec.metrics import Summary
from specdec.options import Sampling
from specdec.text import TextStream
from tests.toys import byte_tokenizer


def terminal():
    return Console(file=StringIO(), force_terminal=True, color_system="standard", highlight=False, _environ={})


def change(*pieces, tail="", **others):
    return Change(tuple(Piece(*piece) for piece in pieces), tail, **others)


def test_accepted_drafts_have_their_colour():
    console = terminal()
    Screen(console).show(change(("draft", DRAFTED), ("own", OWN), ("alone", ALONE)))

    assert console.file.getvalue() == "\x1b[32mdraft\x1b[0mown\x1b[33malone\x1b[0m"


def test_a_terminal_is_not_given_control_characters():
    console = terminal()
    Screen(console).show(change(("a\x1b[2Jb\nc", OWN)))

    assert console.file.getvalue() == "a\N{REPLACEMENT CHARACTER}[2Jb\nc"


def test_a_pipe_is_given_the_text_as_it_is_and_nothing_that_may_be_taken_back():
    console = Console(file=StringIO())
    screen = Screen(console)
    screen.show(change(("a\x1b[2Jb\n\t[bold]c", DRAFTED)))
    screen.show(change(tail="wrong", verified=False))
    screen.show(change(("right", OWN), retracted=1))

    assert console.file.getvalue() == "a\x1b[2Jb\n\t[bold]cright"


def test_a_character_of_several_tokens_comes_whole_with_its_last():
    tokenizer = byte_tokenizer()
    tokens = tokenizer("aéb")["input_ids"]
    step = Step([tokens], [2], retracted=(0,))
    pieces = Transcript(TextStream(tokenizer)).take(step).settled

    assert [(piece.text, piece.origin) for piece in pieces] == [
        *[("a", DRAFTED), ("", DRAFTED), ("é", OWN), ("b", OWN)],
    ]


def test_speed_and_steps_are_of_the_same_run():
    """A run before those that are timed may have drafted nothing yet."""
    figures = Console(file=StringIO(), highlight=False)
    shown, plain, fast = (
        Run((5,) * 8, "a", seconds, Summary(steps, 1, 8 / steps, 8 / steps, 0.0, ()))
        for steps, seconds in [(8, 4.0), (8, 2.0), (4, 1.0)]
    )
    Screen(Console(quiet=True), figures).figures(shown, Comparison(plain, fast, None))

    assert "8.0 tokens/s, acceptance length 2.00, 8 tokens in 4 steps" in figures.file.getvalue()
    assert "plain decoding: 4.0 tokens/s; speed-up 2.00" in figures.file.getvalue()


def test_one_token_is_no_plural():
    figures = Console(file=StringIO(), highlight=False)
    summary = Summary(1, 1, 1.0, 1.0, 0.0, ())
    Screen(Console(quiet=True), figures).figures(Run((5,), "a", 1.0, summary, unverified=1), None)

    assert "1 token in 1 step\n" in figures.file.getvalue()
    assert "the last 1 token was never verified" in figures.file.getvalue()


def test_pieces_make_the_text(target):
    decoder = Decoder(Ngram(), Target.from_pretrained(target))
    shown = []
    job = Job("abcabc", Sampling(temperature=1.0), Stop(max_tokens=40))
    text = run(job, decoder, lambda change: shown.extend(piece.text for piece in change.settled)).text

    assert "".join(shown) == text
