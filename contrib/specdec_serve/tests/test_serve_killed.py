"""A client may be killed at any time: the same command continues the text from its journal, offline too."""

import subprocess
import sys
from pathlib import Path

import pytest
import specdec_zoo
from serving import RIGHT

from specdec import Decoder, Sampling, Stop, Target, load_drafter

NOBODY = "ws://127.0.0.1:9"
PROMPT = specdec_zoo.prompts("classes")[1]
LENGTH = 80


def client(address: str, journal: Path, patience: float = 60.0) -> subprocess.Popen[str]:
    options = ["--max-tokens", LENGTH, "--temperature", 1, "--seed", 5, "--policy", "chain:length=3"]
    line = ["--remote", address, "--journal", journal, "--patience", patience, "--token-file", journal.parent / "token"]
    (journal.parent / "token").write_text(RIGHT)
    command = [sys.executable, "-m", "specdec.cli.main", "generate", PROMPT, *map(str, [*options, *line])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("characters", [1, 90])
def test_the_text_is_the_same(zoo: Target, zoo_address: str, tmp_path: Path, characters: int) -> None:
    journal = tmp_path / "journal"
    with client(zoo_address, journal) as process:
        assert process.stdout is not None
        shown = process.stdout.read(characters)
        kill(process)
    with client(NOBODY, journal, patience=0.5) as process:
        assert process.stderr is not None
        while "continuing alone" not in process.stderr.readline():
            pass
        kill(process)
    with client(NOBODY, journal, patience=0.5) as process:
        alone, _ = process.communicate()
    with client(zoo_address, journal) as again:
        text, _ = again.communicate()

    sampling, stop = Sampling(1.0, seed=5), Stop(max_tokens=LENGTH)
    plain = (Decoder(load_drafter("none"), zoo).generate(PROMPT, sampling, stop).text or ("",))[0]
    assert text == plain + "\n"
    assert plain.startswith(shown)
    assert alone.startswith(shown)
    assert plain.startswith(alone.removesuffix("\n"))
    assert (process.returncode, again.returncode) == (1, 0)
