"""Of a target on a server, its files are enough for a head, a tokenizer and what it is decoded by."""

from pathlib import Path
from shutil import copytree

import pytest
import specdec_zoo

from specdec import Decoder, OptionError, Stop, Target, load_drafter
from specdec.drafters import NoDrafter
from specdec.remote import Failover, Remote
from specdec.split import Server
from specdec.target.loading import load_generation_config
from tests.remote.hosts import Lines, drafter

FILES = specdec_zoo.path("target")
STOP = Stop(max_tokens=16)


@pytest.mark.parametrize("kind", ["moa", "moa-tli1", "eagle", "eagle3", "medusa"])
def test_a_head_is_loaded_without_the_target(zoo: Target, kind: str) -> None:
    lines = Lines(Server.of(zoo, [drafter(kind, zoo)]))
    remote = Remote(lines.connect, files=FILES, patience=1.0, clock=lines.clock, sleep=lines.sleep)
    head = load_drafter(kind.split("-")[0], specdec_zoo.path(kind), target=Failover(remote))

    found = Decoder(head, remote).generate("def f(", stop=STOP)

    assert found.text == Decoder(NoDrafter(), zoo).generate("def f(", stop=STOP).text
    assert found.metrics.steps < STOP.max_tokens


def test_without_files_a_head_asks_for_them(zoo: Target) -> None:
    lines = Lines(Server.of(zoo))
    remote = Remote(lines.connect, clock=lines.clock, sleep=lines.sleep)

    with pytest.raises(OptionError, match="or its `files`"):
        load_drafter("eagle", specdec_zoo.path("eagle"), target=remote)


def test_the_generation_config_is_the_model_s(zoo: Target, tmp_path: Path) -> None:
    """Also where an old model has it in its configuration."""
    old = copytree(FILES, tmp_path / "old")
    (old / "generation_config.json").unlink(missing_ok=True)

    assert zoo.generation_config is not None
    for files, target in ((FILES, zoo), (old, Target.from_pretrained(old))):
        assert target.generation_config is not None
        assert load_generation_config(files).to_diff_dict() == target.generation_config.to_diff_dict()
