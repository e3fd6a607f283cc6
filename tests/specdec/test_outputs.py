"""What commands write is never an input, and never what another wrote."""

import os
from pathlib import Path

import pytest

from specdec.errors import OptionError
from specdec.outputs import RECORD, Output, input_hash, saving

SETTINGS = {"target": "a", "seed": 1}


def finished(path: Path, data: bytes = b"mine", **settings: object) -> Output:
    output = Output.of(path, "bench")
    output.begin(SETTINGS | settings)
    output.write(data)
    return output


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    """By its name, by a link of either kind, from another folder."""
    data = tmp_path / "data.jsonl"
    data.write_text("1,380 bytes")
    (tmp_path / "soft").symlink_to(data)
    os.link(data, tmp_path / "hard")
    (tmp_path / "inner").mkdir()
    for name in (data, tmp_path / "soft", tmp_path / "hard", tmp_path / "inner/../data.jsonl"):
        for given in (data, tmp_path / "soft"):
            with pytest.raises(OptionError, match="apart from the inputs"):
                Output.of(name, "regenerate", [given])
    for mine in ("out.partial", f"out.{RECORD}"):
        (tmp_path / mine).write_text("an input")
        with pytest.raises(OptionError, match="apart from the inputs"):
            Output.of(tmp_path / "out", "regenerate", [tmp_path / mine])
    assert data.read_text() == "1,380 bytes"


def test_an_output_folder_is_apart_from_inputs(tmp_path: Path) -> None:
    target, data = tmp_path / "target", tmp_path / "head/data.jsonl"
    target.mkdir()
    data.parent.mkdir()
    data.touch()
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "head/link.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    for output, given in (
        (target, target),
        (tmp_path / "link", target),
        (target, tmp_path / "link"),
        (target / "head", target),
        (tmp_path / "link/head", target),
        (tmp_path, target),
        (tmp_path / "head", data),
        (tmp_path / "head", tmp_path / "head/link.jsonl"),
        (tmp_path / "not/there", tmp_path / "not/there"),
    ):
        with pytest.raises(OptionError, match="apart from the inputs"):
            Output.of(output, "train", [given], folder=True)
    assert Output.of(tmp_path / "new/head", "train", [target, data], folder=True).path == tmp_path / "new/head"


@pytest.mark.parametrize("restart", [False, True])
def test_what_the_command_did_not_write_is_left_alone(tmp_path: Path, restart: bool) -> None:
    file, folder = tmp_path / "own.jsonl", tmp_path / "folder"
    file.write_text("the user's")
    folder.mkdir()
    (folder / "notes.txt").write_text("the user's")
    for path in (file, folder):
        with pytest.raises(OptionError, match="which has no record of that; choose another name"):
            Output.of(path, "train", folder=path is folder).begin(SETTINGS, restart=restart)
    finished(tmp_path / "other").write(b"mine")
    with pytest.raises(OptionError, match="or one that `specdec train` wrote"):
        Output.of(tmp_path / "other", "train")
    (tmp_path / "other").write_text("the user's")
    with pytest.raises(OptionError, match="as `specdec bench` wrote it"):
        Output.of(tmp_path / "other", "bench").begin(SETTINGS, restart=restart)
    (tmp_path / f"new.{RECORD}").write_text('{"a record": "of another kind"}')
    with pytest.raises(OptionError, match="no record"):
        Output.of(tmp_path / "new", "bench")


def test_a_file_that_came_meanwhile_is_left_alone(tmp_path: Path) -> None:
    output = Output.of(tmp_path / "out", "bench")
    output.begin(SETTINGS)
    output.path.write_text("the user's")
    with pytest.raises(OptionError, match="another file"):
        output.write(b"mine")
    assert (output.path.read_text(), output.partial.read_bytes()) == ("the user's", b"mine")


@pytest.mark.parametrize("path", ["", " ", "not/there/out", "file/out", "/dev/null", "folder"])
def test_places_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    with pytest.raises(OptionError, match="expected a file"):
        Output.of(path, "bench")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="for Linux alone")
@pytest.mark.parametrize("folder", [True, False])
def test_a_folder_that_takes_no_files(folder: bool) -> None:
    with pytest.raises(OptionError, match="that can be written to, got '/proc/out'"):
        Output.of("/proc/out", "train", folder=folder)


@pytest.mark.parametrize("path", ["", "file", "file/out"])
def test_folders_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(OptionError, match="expected a folder"):
        Output.of(path, "train", folder=True)


def test_only_a_restart_overwrites_what_was_made_otherwise(tmp_path: Path) -> None:
    output = finished(tmp_path / "out")
    assert output.begin(SETTINGS)
    with pytest.raises(OptionError, match=r"expected target 'a' as in the run in .*out, got 'b'; --restart"):
        output.begin(SETTINGS | {"target": "b"})
    assert not output.begin(SETTINGS | {"target": "b"}, restart=True)
    assert output.path.read_bytes() == b"mine"
    assert not output.begin(SETTINGS | {"target": "b"})
    Output.of(output.path, "bench").write(b"new")
    assert output.path.read_bytes() == b"new"
    assert output.begin(SETTINGS | {"target": "b"})


def test_an_unfinished_file_is_continued_by_the_same_run_alone(tmp_path: Path) -> None:
    output = Output.of(tmp_path / "out", "regenerate")
    output.begin(SETTINGS)
    output.partial.write_text("half")
    assert not Output.of(tmp_path / "out", "regenerate").begin(SETTINGS)
    assert output.partial.read_text() == "half"
    with pytest.raises(OptionError, match="expected seed 1"):
        output.begin(SETTINGS | {"seed": 2})
    assert not output.begin(SETTINGS | {"seed": 2}, restart=True)
    assert not output.partial.exists()


def test_files_of_a_folder_are_moved_in_when_they_are_whole(tmp_path: Path) -> None:
    output = Output.of(tmp_path / "head", "train", folder=True)
    output.begin(SETTINGS)

    def save(text: str) -> None:
        with saving(output.path) as folder:
            (folder / "config.json").write_text(text)
            (folder / "inner").mkdir()
            (folder / "inner/weights").write_text(text)
            if text == "killed":
                raise KeyboardInterrupt

    save("one")
    with pytest.raises(KeyboardInterrupt):
        save("killed")
    assert Output.of(output.path, "train", folder=True).path == output.path
    assert {(output.path / name).read_text() for name in ("config.json", "inner/weights")} == {"one"}
    save("two")
    assert sorted(entry.name for entry in output.path.iterdir()) == ["config.json", "inner", RECORD]
    (output.path / "config.json").write_text("the user's")
    with pytest.raises(OptionError, match="another file"):
        save("three")
    with pytest.raises(OptionError, match="another file"):
        Output.of(output.path, "train", folder=True)


def test_hashes_of_inputs(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "weights").write_text("same")
    assert input_hash(one) == input_hash(other)
    assert input_hash(one / "weights") == input_hash(other / "weights")
    (other / "weights").write_text("else")
    assert input_hash(one) != input_hash(other)
    assert input_hash("org/model-on-the-hub") is input_hash(None) is None
