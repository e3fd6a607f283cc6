"""What a client knows outlives it, wherever it was stopped."""

import os
import subprocess
import sys
from collections import Counter
from errno import ENOSPC
from pathlib import Path
from random import Random

import pytest
import specdec_zoo

from specdec import Decoder, Drafter, OptionError, Sampling, Stop, Target
from specdec.drafters import NoDrafter
from specdec.policies import Chain
from specdec.remote import Failover, Journal, Remote
from specdec.split import Server
from specdec.split.messages import Open
from tests.remote.hosts import Lines, drafter
from tests.remote.test_failover import Reader

STOP = Stop(max_tokens=40)


def decoder(zoo: Target, lines: Lines, made: Drafter, journal: Path) -> Decoder:
    remote = Remote(
        lines.connect, zoo.tokenizer, patience=1.0, journal=Journal(journal), clock=lines.clock, sleep=lines.sleep
    )
    return Decoder(made, Failover(remote), Chain(4))


def prompt(number: int = 1) -> str:
    return str(specdec_zoo.prompts("classes")[number])


@pytest.fixture(scope="module")
def head(zoo: Target) -> Drafter:
    return drafter("moa", zoo)


@pytest.fixture(scope="module")
def wanted(zoo: Target) -> tuple[int, ...]:
    return Decoder(NoDrafter(), zoo).generate(prompt(), stop=STOP).tokens[0]


@pytest.fixture(scope="module")
def whole(zoo: Target, head: Drafter, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of a run that was away for a while."""
    path, lines, reader = tmp_path_factory.mktemp("journal") / "journal", Lines(Server.of(zoo, [head])), Reader()
    for step in decoder(zoo, lines, head, path).stream(prompt(), stop=STOP):
        reader.take(step)
        if len(reader.steps) == 3:
            lines.cut(1.5)
    assert reader.most > 0
    return path.read_bytes()


def records(data: bytes) -> list[int]:
    """The ends of a journal's records."""
    ends = [len(b"specdec journal 1\n")]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 8 + int.from_bytes(data[ends[-1] : ends[-1] + 4], "little"))
    return ends


def test_every_byte_may_be_the_last_one(whole: bytes, tmp_path: Path) -> None:
    """What is read is what the whole records say, and what is written next is read after them."""
    ends, path, previous = records(whole), tmp_path / "journal", 0
    for size in [*range(0, len(whole), 97), *ends, *(end - 1 for end in ends), *(end + 1 for end in ends[:-1])]:
        path.write_bytes(whole[:size])
        journal = Journal(path)
        known = len(journal.chapters[0].decided) if journal.chapters else 0
        if journal.chapters:
            journal.say(0, [7, 8])
        journal.close()
        assert path.stat().st_size >= min(size, len(b"specdec journal 1\n"))
        again = Journal(path)
        assert (len(again.chapters[0].decided) if again.chapters else 0) == known
        assert not again.chapters or again.chapters[0].said[-2:] == [7, 8]
        again.close()
        previous = max(previous, known)
    assert previous >= STOP.max_tokens


def test_a_damaged_record_ends_it(whole: bytes, tmp_path: Path) -> None:
    ends, path, random = records(whole), tmp_path / "journal", Random(1)
    for _ in range(40):
        place = random.randrange(ends[0], len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << random.randrange(8)]) + whole[place + 1 :])
        Journal(path).close()
        assert path.stat().st_size <= max(end for end in ends if end <= place)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("my notes, longer than the first line of a journal")

    with pytest.raises(OptionError, match="a journal or a new file"):
        Journal(path)
    assert path.read_text().startswith("my notes")


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_a_new_process_continues_the_text(
    zoo: Target, head: Drafter, wanted: tuple[int, ...], whole: bytes, tmp_path: Path, place: float
) -> None:
    """The server has forgotten, too."""
    path, ends = tmp_path / "journal", records(whole)
    path.write_bytes(whole[: ends[round(place * (len(ends) - 1))]])
    lines, reader = Lines(Server.of(zoo, [head])), Reader()

    for step in decoder(zoo, lines, head, path).stream(prompt(), stop=STOP):
        reader.take(step)

    assert tuple(reader.tokens) == wanted
    assert reader.unverified == 0
    assert place < 1 or len(reader.steps) == 1


@pytest.mark.slow
def test_a_new_process_continues_from_any_record(
    zoo: Target, head: Drafter, wanted: tuple[int, ...], whole: bytes, tmp_path: Path
) -> None:
    for end in records(whole):
        path, reader = tmp_path / f"journal-{end}", Reader()
        path.write_bytes(whole[:end])
        for step in decoder(zoo, Lines(Server.of(zoo, [head])), head, path).stream(prompt(), stop=STOP):
            reader.take(step)
        assert tuple(reader.tokens) == wanted


def test_it_continues_without_a_server_and_knows_what_the_drafter_had_learnt(
    zoo: Target, head: Drafter, wanted: tuple[int, ...], whole: bytes, tmp_path: Path
) -> None:
    def alone(data: bytes) -> Reader:
        (tmp_path / "journal").write_bytes(data)
        lines, reader = Lines(Server.of(zoo, [head])), Reader()
        lines.out = True
        for step in decoder(zoo, lines, head, tmp_path / "journal").stream(prompt(), stop=STOP):
            reader.take(step)
        return reader

    reader = alone(whole[: records(whole)[-3]])

    assert len(reader.tokens) == STOP.max_tokens
    assert reader.unverified > 0
    verified = len(reader.tokens) - reader.unverified
    assert tuple(reader.tokens[:verified]) == wanted[:verified]


def test_it_is_of_one_prompt_and_sampling(zoo: Target, head: Drafter, whole: bytes, tmp_path: Path) -> None:
    path, lines = tmp_path / "journal", Lines(Server.of(zoo, [head]))
    path.write_bytes(whole)

    for other, sampling in ((prompt(2), Sampling()), (prompt(), Sampling(temperature=1.0))):
        with pytest.raises(OptionError, match="that the journal's sequence 0 began with"):
            decoder(zoo, lines, head, path).stream(other, sampling, STOP)


def test_what_was_said_after_the_end_of_a_text_is_not_said_again(zoo: Target, head: Drafter, tmp_path: Path) -> None:
    """A drafter may have said more in one step than the text took, and the target agreed with the text's end."""
    path, prompts, plain = tmp_path / "journal", [prompt(0), prompt(1)], Decoder(NoDrafter(), zoo)
    end = next(token for token, count in Counter(plain.generate(prompts[0], stop=STOP).tokens[0]).items() if count == 1)
    stops = [Stop(max_tokens=40, tokens=(end,)), STOP]
    wanted = plain.generate(prompts, stop=stops).tokens
    for step in decoder(zoo, Lines(Server.of(zoo, [head])), head, path).stream(prompts, stop=stops):
        if step.tokens[0][-1:] == [end]:
            break
    journal = Journal(path)
    journal.say(0, [5, 3])
    journal.say(1, [5, 3])
    journal.close()

    readers = [Reader(), Reader()]
    for step in decoder(zoo, Lines(Server.of(zoo, [head])), head, path).stream(prompts, stop=stops):
        for number, reader in enumerate(readers):
            reader.tokens[len(reader.tokens) - step.retracted[number] :] = step.tokens[number]

    assert tuple(tuple(reader.tokens) for reader in readers) == wanted


def test_a_closed_journal_writes_and_closes_no_other_file(tmp_path: Path) -> None:
    """The next file that is opened gets its descriptor."""
    journal = Journal(tmp_path / "journal")
    journal.begin(0, Open(b"s" * 16, 1, b"", {}, (), (), (), False, "", "float16", None))
    journal.close()

    with (tmp_path / "mine").open("w") as mine:
        with pytest.raises(OptionError, match="open to record Said, got a closed one"):
            journal.say(0, [1])
        journal.close()
        mine.write("text")

    assert (tmp_path / "mine").read_text() == "text"
    assert journal.chapters[0].said == []


def test_a_record_that_could_not_be_written_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "journal", os.write
    journal = Journal(path)
    journal.begin(0, Open(b"s" * 16, 1, b"", {}, (), (), (), False, "", "float16", None))

    def write_half(file: int, data: bytes) -> int:
        write(file, data[: len(data) // 2])
        raise OSError(ENOSPC, "no space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", write_half)
        with pytest.raises(OSError, match="no space left"):
            journal.say(0, [1])
    assert journal.chapters[0].said == []

    journal.say(0, [2])
    assert Journal(path).chapters[0].said == journal.chapters[0].said == [2]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Even if the file was there before; a file that is no journal is left as it is."""
    for name, content in (("mine", b""), ("other", b"a text")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o644)
    Journal(tmp_path / "mine").close()
    with pytest.raises(OptionError, match="expected a journal or a new file"):
        Journal(tmp_path / "other")

    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o644


HOLD = "import os, sys; os.lockf(os.open(sys.argv[1], os.O_RDWR), os.F_TLOCK, 0); print(flush=True); input()"


def test_two_processes_do_not_write_the_same(tmp_path: Path) -> None:
    """Records of both would make a text with a hole in it; once the first has ended, the second may."""
    path = tmp_path / "journal"
    mine = Journal(path)
    other = [sys.executable, "-c", HOLD, str(path)]
    assert "BlockingIOError" in subprocess.run(other, input="", capture_output=True, text=True).stderr
    mine.close()

    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(OptionError, match="no other process writes"):
            Journal(path)
        holder.communicate(b"\n")
    Journal(path).close()
