import sysconfig
from pathlib import Path

import pytest

from specdec_zoo import corpus
from specdec_zoo.workspace import Workspace, prepare


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small corpus, much of it held out, with its tokenizer."""
    workspace = Workspace(tmp_path_factory.mktemp("zoo"))
    prepare(workspace, corpus.load(small_roots()))
    return workspace


@pytest.fixture(autouse=True, scope="session")
def much_held_out() -> None:
    corpus.HELD_OUT_PERCENT = 30


def small_roots() -> dict[str, Path]:
    library = Path(sysconfig.get_paths()["stdlib"])
    return {f"stdlib/{name}/": library / name for name in ("asyncio", "email", "json", "unittest")}
