"""The documentation: its code runs, its hooks and names are the real ones, its links lead somewhere.

The zoo is replaced by tiny random models, so that `specdec_zoo.path` works at once and wherever it is.
"""

import inspect
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

from specdec import hookspecs
from specdec.cli.main import app
from specdec.plugins import plugins
from specdec.training import load_method
from tests.toys import build, byte_tokenizer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(page, language):
    return [code for kind, code in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def name(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Stands in for `specdec_zoo`."""
    tokenizer, folder, module = byte_tokenizer(), tmp_path_factory.mktemp("zoo"), ModuleType("specdec_zoo")
    for seed, model_name in enumerate(("draft", "target")):
        model = build("llama", seed=seed, dtype=torch.float32, vocab_size=len(tokenizer), max_position_embeddings=512)
        model.save_pretrained(folder / model_name)
        tokenizer.save_pretrained(folder / model_name)
    load_method("moa", model, tokenizer).save(str(folder / "moa"))
    module.path = lambda model: folder / model
    return module


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_blocks_run(page, zoo, monkeypatch):
    plugins()  # while the zoo is the real one, if it is there
    monkeypatch.setitem(sys.modules, "specdec_zoo", zoo)
    names = {"__name__": "docs"}
    for code in blocks(page, "python"):
        exec(compile(code, name(page), "exec"), names)
    for test in [value for key, value in names.items() if key.startswith("test_")]:
        test()

    assert names


def test_each_hook_has_its_heading_with_its_arguments():
    headings = re.findall(r"^### (\w+\(.*\))$", (ROOT / "docs/plugins.md").read_text("utf-8"), re.MULTILINE)
    hooks = [hook for hook in vars(hookspecs).values() if hasattr(hook, "specdec_spec")]

    assert headings == [f"{hook.__name__}({', '.join(inspect.signature(hook).parameters)})" for hook in hooks]


def test_the_readme_lists_what_is_built_in():
    rows = re.findall(r"^\|(\w+)\|`(\w+)`\|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    own = [entry for entry in plugins().entries if entry.distribution == "specdec-kit" and entry.kind != "method"]

    assert ("drafter", "ngram") in rows
    assert set(rows) == {(entry.kind, entry.name) for entry in own}


def test_the_readme_shows_the_package_of_the_tests():
    package = (ROOT / "tests/plugin_package/specdec_echo.py").read_text("utf-8")

    assert package.split("\n\n", 1)[1].strip() in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    links = [(page.parent / link if link else page, anchor) for link, anchor in LINK.findall(page.read_text("utf-8"))]
    missing = [link for link, _ in links if not link.exists()]
    dangling = [(link, anchor) for link, anchor in links if anchor and anchor not in anchors(link)]

    assert missing == []
    assert dangling == []


def anchors(page):
    """What a page's headings are called in links."""
    headings = HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def helps():
    return [code for page in PAGES for code in blocks(page, "console") if "--help" in code.partition("\n")[0]]


def test_the_help_that_is_shown_is_the_real_one():
    """If not, `python docs/commands.py` writes it again."""
    spec = spec_from_file_location("commands", ROOT / "docs/commands.py")
    commands = module_from_spec(spec)
    spec.loader.exec_module(commands)
    shown = commands.PAGE.read_text("utf-8")

    assert commands.renewed(shown) == shown


def test_the_help_of_every_command_is_shown():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}

    assert {shown.split()[2] for shown in helps()} >= commands
