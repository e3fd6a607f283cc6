"""Training data becomes a datastore."""

import json
from pathlib import Path

import pytest

from specdec.drafters.datastore import Datastore
from specdec.training.datastore import make
from tests.toys import byte_tokenizer


def test_texts_become_a_datastore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer, texts = byte_tokenizer.__wrapped__(), ["to be or not", "to bet"]
    tokenizer.save_pretrained(tmp_path / "target")
    data, output = tmp_path / "data.jsonl", tmp_path / "store.npz"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    make([data], str(tmp_path / "target"), output)

    encoded = [tokenizer(text)["input_ids"] for text in texts]
    assert Datastore.load(output).tokens.tolist() == Datastore.of(encoded).tokens.tolist()
    assert f"{sum(map(len, encoded))} tokens, " in capsys.readouterr().out


def test_bad_places_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    data = tmp_path / "own.txt"
    data.write_text("a text")
    others = {
        data: "an output apart from the inputs",
        tmp_path: "a file to write to",
        tmp_path / "missing" / "store.npz": "a file in a folder that exists",
    }
    for output, message in others.items():
        with pytest.raises(SystemExit, match=f"specdec: expected {message}"):
            make([data], "nowhere", output)
    with pytest.raises(SystemExit, match=r"specdec: .*nowhere"):
        make([data], str(tmp_path / "nowhere"), tmp_path / "store.npz")
    assert data.read_text() == "a text"


def test_only_its_own_file_is_replaced(tmp_path: Path) -> None:
    byte_tokenizer.__wrapped__().save_pretrained(tmp_path / "target")
    texts, more, output, other = (tmp_path / name for name in ("a.txt", "b.txt", "store.npz", "notes.txt"))
    texts.write_text("abc")
    more.write_text("abcd")
    other.write_text("my notes")
    target = str(tmp_path / "target")
    with pytest.raises(SystemExit, match=r"or one that `python -m specdec.training.datastore` wrote, got"):
        make([texts], target, other)
    assert other.read_text() == "my notes"

    make([texts], target, output)
    made = output.read_bytes()
    make([texts], target, output)
    with pytest.raises(SystemExit, match="--restart begins again"):
        make([more], target, output)
    assert output.read_bytes() == made
    make([more], target, output, restart=True)
    assert output.read_bytes() != made
    assert not output.with_name("store.npz.partial").exists()
    output.write_text("changed")
    with pytest.raises(SystemExit, match=r"to be as `python -m specdec.training.datastore` wrote it"):
        make([more], target, output)
