"""What is shown: whole characters, in the colour of where they came from."""

from io import StringIO

from rich.console import Console

from specdec import Decoder, Stop, Target
from specdec.cli.run import Job, _pieces, run
from specdec.cli.screen import Screen
from specdec.context import Step
from specdec.drafters import Ngram
from specdec.options import Sampling
from specdec.text import TextStream
from tests.toys import byte_tokenizer


def terminal():
    return Console(file=StringIO(), force_terminal=True, color_system="standard", highlight=False)


def test_accepted_drafts_have_their_colour():
    console = terminal()
    screen = Screen(console)
    screen.piece("draft", True)
    screen.piece("own", False)

    assert console.file.getvalue() == "\x1b[32mdraft\x1b[0mown"


def test_a_terminal_is_not_given_control_characters():
    console = terminal()
    Screen(console).piece("a\x1b[2Jb\nc", False)

    assert console.file.getvalue() == "a\N{REPLACEMENT CHARACTER}[2Jb\nc"


def test_a_pipe_is_given_the_text_as_it_is():
    console = Console(file=StringIO())
    Screen(console).piece("a\x1b[2Jb\n\t[bold]c", True)

    assert console.file.getvalue() == "a\x1b[2Jb\n\t[bold]c"


def test_a_character_of_several_tokens_comes_whole_with_its_last():
    tokenizer = byte_tokenizer()
    tokens = tokenizer("aéb")["input_ids"]
    step = Step([tokens], [2])
    pieces = list(_pieces(TextStream(tokenizer), step))

    assert pieces == [("a", True), ("", True), ("é", False), ("b", False)]


def test_pieces_make_the_text(target):
    decoder = Decoder(Ngram(), Target.from_pretrained(target))
    shown = []
    job = Job("abcabc", Sampling(temperature=1.0), Stop(max_tokens=40))
    text = run(job, decoder, lambda text, drafted: shown.append(text)).text

    assert "".join(shown) == text
