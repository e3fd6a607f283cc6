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
    for output in (data, tmp_path, tmp_path / "missing" / "store.npz"):
        with pytest.raises(SystemExit, match=r"specdec: expected .*--output"):
            make([data], "nowhere", output)
    with pytest.raises(SystemExit, match=r"specdec: .*nowhere"):
        make([data], str(tmp_path / "nowhere"), tmp_path / "store.npz")
    assert data.read_text() == "a text"
