"""`specdec generate --remote` says what the target says, and has none of it in memory."""

import json
from typing import Any

import pytest
from serving import RIGHT
from typer.testing import CliRunner, Result

from specdec import Decoder, Sampling, Stop, Target, load_drafter
from specdec.cli.main import app
from specdec.target import loading

PROMPT = "def quicksort(items):"
LENGTH = 24


def specdec(*args: object, token: str | None = RIGHT, patience: float = 60) -> Result:
    arguments = ["generate", PROMPT, "--max-tokens", LENGTH, "--patience", patience, *args]
    return CliRunner().invoke(app, [str(arg) for arg in arguments], env={"SPECDEC_TOKEN": token}, prog_name="specdec")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("drafter", ["moa", "eagle3", "ngram"])
def test_the_text_is_the_target_s(
    zoo: Target, zoo_address: str, drafter: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*args: Any, **options: Any) -> None:
        raise AssertionError("the whole target was loaded")

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", load)
    options = ["--drafter", drafter, "--policy", "chain:length=3", "--temperature", temperature, "--seed", 3]

    result = specdec("--remote", zoo_address, *options, "--json")

    assert result.exit_code == 0, result.stderr
    found, sampling = json.loads(result.stdout), Sampling(temperature, seed=3)
    plain = Decoder(load_drafter("none"), zoo).generate(PROMPT, sampling, Stop(max_tokens=LENGTH))
    assert found["text"] == (plain.text or ("",))[0]
    assert found["round_trips"] >= found["steps"] > 0
    assert (found["unverified"], found["alone"], found["retracted"], found["restored"]) == (0, 0, 0, 0)
    assert drafter == "ngram" or found["steps"] < LENGTH


def test_plain_decoding_is_of_the_same_server(zoo_address: str) -> None:
    result = specdec("--remote", zoo_address, "--drafter", "ngram", "--compare")

    assert "the texts are equal" in result.stderr
    assert f"connected to {zoo_address}\n" in result.stderr


@pytest.mark.parametrize("token", [None, "wrong"])
def test_who_has_no_token_gets_one_line_at_once(zoo_address: str, token: str | None) -> None:
    result = specdec("--remote", zoo_address, "--drafter", "ngram", token=token, patience=10**6)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert ("got the one given" if token else "--token-file or SPECDEC_TOKEN gives one") in result.stderr


def test_a_token_comes_from_a_file(zoo_address: str, tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text(f"{RIGHT}\n")

    assert specdec("--remote", zoo_address, "--drafter", "none", "--token-file", file, token="wrong").exit_code == 0


def test_a_server_without_the_drafter_s_encoder_is_said_how_to_start(zoo_address: str) -> None:
    result = specdec("--remote", zoo_address, "--drafter", "moa:tli=1")

    assert result.exit_code == 2
    assert "one started with --drafter moa:tli=1" in result.stderr.splitlines()[-1]
