"""The two terminals of the README, as they are written."""

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

README = Path(__file__).parents[3] / "README.md"


def command(name: str) -> list[str]:
    found = re.search(rf"<!-- {name} -->\n```bash\n(.+)\n```", README.read_text(encoding="utf-8"))
    assert found is not None
    return shlex.split(found[1])


@pytest.mark.slow
def test_a_newcomer_serves_and_generates() -> None:
    here = ["specdec", "generate", "def quicksort(items):", "--json"]
    expected = json.loads(subprocess.run(here, check=True, capture_output=True, timeout=200).stdout)["text"]
    with subprocess.Popen(command("server-command"), stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            assert server.stderr.readline().startswith("zoo at http://127.0.0.1:8000, ")
            assert httpx.get("http://127.0.0.1:8000/readyz").status_code == 200
            there = subprocess.run(command("client-command"), check=True, capture_output=True, timeout=200)
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0

    assert there.stdout.decode() == f"{expected}\n"
    assert b"tokens/s" in there.stderr
