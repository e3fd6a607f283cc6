"""`specdec generate --remote` over a line that breaks, in virtual time; sockets are in `contrib/specdec_serve`."""

import json
import re
from functools import partial
from io import StringIO

import pytest
import specdec_zoo
from rich.console import Console
from typer.testing import CliRunner

from specdec import Decoder, Sampling, Stop, Target, Transport, load_drafter
from specdec.cli import remote_target, screen
from specdec.cli.main import app
from specdec.plugins import Entry, Plugins, plugins
from specdec.remote import Remote
from specdec.split import Server
from tests.cli.test_terminal import Emulator
from tests.remote.hosts import Lines

PROMPT = specdec_zoo.prompts("classes")[1]
LENGTH = 40


class Flaky(Lines):
    """Cuts its line once, at the n-th message that comes, for some seconds or for good."""

    at, seconds = 0, None

    def connect(self):
        return Counted(super().connect(), self)


class Counted(Transport):
    def __init__(self, line, lines):
        self.line, self.lines = line, lines

    def send(self, message):
        self.line.send(message)

    def receive(self, timeout=None):
        message = self.line.receive(timeout)
        self.lines.at -= 1
        if self.lines.at == 0:
            self.lines.cut(self.lines.seconds)
        return message

    def close(self):
        self.line.close()


@pytest.fixture(scope="module")
def zoo():
    return Target.from_pretrained(specdec_zoo.path("target"))


@pytest.fixture(scope="module")
def server(zoo):
    return Server.of(zoo, [load_drafter("moa", specdec_zoo.path("moa"), zoo)])


@pytest.fixture(scope="module")
def plain(zoo):
    return Decoder(load_drafter("none"), zoo).generate(PROMPT, Sampling(), Stop(max_tokens=LENGTH)).text[0]


@pytest.fixture
def lines(server, monkeypatch):
    """Lines to a server as the transport `wire`, which are made at once, and by whose clock the command goes."""
    made = Flaky(server)
    entry = Entry("transport", "wire", lambda address: made.connect(), "tests")
    monkeypatch.setitem(plugins()._entries, ("transport", "wire"), entry)
    monkeypatch.setattr(remote_target, "Dialer", lambda connect: connect)
    monkeypatch.setattr(remote_target, "Remote", partial(Remote, clock=made.clock, sleep=made.sleep))
    return made


def specdec(*args, length=LENGTH):
    options = ["--remote", "wire:", "--policy", "chain:length=4", "--max-tokens", length, "--patience", 1, *args]
    return CliRunner().invoke(app, ["generate", PROMPT, *map(str, options)], prog_name="specdec")


def test_after_a_cut_the_text_is_verified_and_the_line_s_state_is_told(lines, plain):
    lines.at, lines.seconds = 6, 1.5
    result = specdec()
    lines.at, lines.seconds = 6, 1.5
    figures = json.loads(specdec("--json").stdout)

    assert result.exit_code == 0
    assert result.stdout == plain + "\n"
    assert result.stderr.splitlines()[:3] == [
        "connected to wire:",
        "connection lost, trying again",
        "connection lost, continuing alone",
    ]
    again = re.search(r"connected again, (\d+) tokens taken back", result.stderr)
    assert again is not None
    assert re.search(rf"\d+ tokens drafted alone; {again[1]} tokens taken back; ", result.stderr)
    assert figures["text"] == plain
    assert figures["alone"] > figures["retracted"] > 0 == figures["unverified"]


@pytest.mark.parametrize("width", [30, 100])
def test_a_terminal_shows_the_text_alone_in_the_end(lines, plain, width, monkeypatch):
    file, size = StringIO(), {"force_terminal": True, "width": width, "height": 60, "_environ": {}}
    consoles = lambda stderr=False, **options: Console(file=file, **size, highlight=False)  # noqa: E731
    monkeypatch.setattr(screen, "Console", consoles)
    lines.at, lines.seconds = 6, 1.5
    assert specdec().exit_code == 0

    data = file.getvalue()
    shown, wanted = Emulator(width, 60).feed(data).text(), Emulator(width, 60).feed(PROMPT + plain).text()
    assert shown[0] == "connected to wire:"
    assert shown[1 : len(wanted) + 1] == wanted
    assert "connection lost, cont" in data
    assert not any("connection lost" in row for row in shown)
    assert "\x1b[33m" in data


def test_a_pipe_holds_back_what_is_never_verified(lines, plain):
    lines.at, lines.seconds = 6, None
    result = specdec()

    assert result.exit_code == 1
    assert plain.startswith(result.stdout.removesuffix("\n"))
    assert result.stdout != plain + "\n"
    assert "were never verified, and held back" in result.stderr


def test_what_was_said_alone_may_be_kept(lines, plain):
    lines.at, lines.seconds = 6, None
    result = specdec("--offline", "keep")
    lines.at, lines.seconds, lines.out = 6, None, False
    figures = json.loads(specdec("--offline", "keep", "--json").stdout)

    assert result.exit_code == 0
    assert result.stdout == figures["text"] + "\n"
    assert figures["text"] != plain
    assert (figures["tokens"], figures["retracted"], figures["unverified"]) == (LENGTH, 0, 0)


def test_it_may_stop_without_the_server(lines, plain):
    lines.at, lines.seconds = 6, None
    result = specdec("--offline", "stop")

    assert result.exit_code == 2
    assert plain.startswith(result.stdout.removesuffix("\n"))
    assert "an answer within 1 seconds, got none: out of reach" in result.stderr.splitlines()[-1]
    assert "alone" not in result.stderr


def test_a_short_cut_changes_nothing(lines, plain):
    lines.at, lines.seconds = 6, 0.2
    result = specdec("--offline", "stop")

    assert result.stdout == plain + "\n"
    assert "connection lost, trying again\nconnected again\n" in result.stderr


@pytest.mark.parametrize(("part", "away"), [(0.03, False), (0.3, False), (0.7, True)])
def test_a_journal_continues_wherever_it_was_left(lines, plain, tmp_path, part, away):
    """With a server, or first without one; what was there is shown again."""
    path = tmp_path / "journal"
    lines.at, lines.seconds = 5, 1.5
    assert specdec("--journal", path).stdout == plain + "\n"
    whole = path.read_bytes()
    path.write_bytes(whole[: round(part * len(whole))])

    lines.out = away
    first = specdec("--journal", path)
    lines.out = False
    figures = json.loads(specdec("--journal", path, "--json").stdout)

    assert first.exit_code == away
    assert ("no connection to wire: yet, trying again\nno connection, continuing alone\n" in first.stderr) == away
    assert plain.startswith(first.stdout.removesuffix("\n"))
    assert len(first.stdout) > 1
    assert figures["text"] == plain
    assert figures["restored"] > 0


def test_what_a_target_says_late_is_not_restored(lines, plain):
    """The drafter has nothing to say."""
    lines.at, lines.seconds = 6, 1.5
    figures = json.loads(specdec("--drafter", "none", "--json").stdout)

    assert figures["text"] == plain
    assert (figures["alone"], figures["retracted"], figures["restored"]) == (0, 0, 0)


def test_a_journal_is_of_one_prompt(lines, tmp_path):
    path = tmp_path / "journal"
    specdec("--journal", path, length=4)
    options = ["--remote", "wire:", "--journal", str(path), "--max-tokens", "4"]
    result = CliRunner().invoke(app, ["generate", "another", *options])

    assert result.exit_code == 2
    assert "specdec: expected the prompt, sampling and drafter that the journal's sequence 0" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--journal", "j"], "expected --remote with --journal, got --journal alone"),
        (["--offline", "stop"], "expected --remote with --offline"),
        (["--remote", "ws://a", "--journal", "j", "--compare"], "--journal without --compare"),
        (["--remote", "ws://a", "--device", "cpu"], "expected --device without --remote, .* got 'cpu'"),
        (["--remote", "ws://a", "--rule", "rejection"], "expected --rule without --remote"),
        (["--remote", "ws://a", "--verifier", "remote"], "expected --verifier without --remote"),
        (["--remote", "ws://a", "--weights", "half"], "expected --weights without --remote"),
        (["--remote", "local:", "--token-file", "t"], "no --token-file with --remote local:"),
        (["--remote", "ws://a", "--token-file", "/not/there"], "a file with a token, got '/not/there'"),
        (["--remote", "localhost:8000"], "begins with a transport, of .*local.*; got 'localhost:8000'"),
        (["--remote", "ws://a", "--journal", "/not/there/j"], "a journal that can be written, got /not/there/j"),
        (["--remote", "ws://a", "--patience", "0"], "a patience above 0"),
        (["--remote", "ws://a", "--codec", "int3"], "a codec of float32, .*got 'int3'"),
        (["--remote", "ws://a", "--offline", "wait"], "'wait' is not one of 'verify', 'keep', 'stop'"),
    ],
)
def test_what_means_nothing_is_one_line(args, message):
    result = CliRunner().invoke(app, ["generate", "a", *args], prog_name="specdec")

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


def test_a_transport_that_is_not_installed_is_said_how_to_get(monkeypatch):
    monkeypatch.setattr(remote_target, "plugins", lambda: Plugins(group="none"))
    result = CliRunner().invoke(app, ["generate", "a", "--remote", "ws://a"], prog_name="specdec")

    assert result.exit_code == 2
    assert result.stderr.endswith(
        "got 'ws://a'; `pip install ./contrib/specdec_serve` in specdec's repository brings ws and wss\n"
    )


def test_no_message_shows_a_token(tmp_path, monkeypatch):
    def make(address, token):
        raise ValueError("no")

    (tmp_path / "token").write_text("very secret")
    two = CliRunner().invoke(app, ["generate", "a", "--remote", "wire:", "--token-file", str(tmp_path / "token")])
    (tmp_path / "token").write_text("verysecret\n")
    monkeypatch.setitem(plugins()._entries, ("transport", "wire"), Entry("transport", "wire", make, "tests"))
    one = CliRunner().invoke(app, ["generate", "a", "--remote", "wire:", "--token-file", str(tmp_path / "token")])

    assert "expected one token in" in two.stderr
    assert "transport 'wire' cannot be made with {'token': <token>}: no" in one.stderr
    assert "secret" not in one.stderr + two.stderr
