"""Imports go one way, specdec knows no plugin, plugins know only its public names, and files stay short."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"errors", "data", "nodes", "tree", "chance"},
    {"interfaces"},
    {"rules", "frontier", "reader", "grow", "hookspecs", "sampling", "metrics", "text"},
    {"plugins", "builtin", "target", "policies", "drafters"},
    {"decode"},
    {"split"},
    {"training", "bench", "cli", "testing"},
]
"""As section 5 of the architecture lists them; helpers stand with those who use them."""
PLUGINS = (
    "specdec_moa",
    "specdec_eagle",
    "specdec_medusa",
    "specdec_zoo",
    "specdec_transports",
    "specdec_cuda",
    "specdec_ray",
)
"""The command line's default models, looked for by name and only where they are installed."""
FILES = sorted(
    path
    for part in ("specdec*/**/*.py", "contrib/*/specdec*/**/*.py", "contrib/*/specdec*.py")
    for path in ROOT.glob(part)
)


def layer(module: str) -> int:
    """Where a module of specdec stands; the package itself is below none and above all."""
    return next(place for place, names in enumerate(LAYERS) if module.split(".")[1] in names)


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Modules that a file imports, with the names taken from each."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or "", [alias.name for alias in node.names]


def module_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    start = next(
        place for place, part in enumerate(parts) if part.startswith("specdec") and part in (*PLUGINS, "specdec")
    )
    return ".".join(part for part in parts[start:] if part != "__init__")


def own(package: str) -> list[Path]:
    return [path for path in FILES if path.is_relative_to(ROOT / package)]


def test_the_layers_are_those_of_the_package() -> None:
    """No module stands outside of them."""
    found = {
        path.stem for path in (ROOT / "specdec").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert found - {"__init__", "__main__"} <= set().union(*LAYERS)


def test_imports_go_one_way() -> None:
    """A module imports from its own layer or one below; only the top may import the package by its name."""
    wrong = [
        f"{module} imports {name}"
        for module, name in uses()
        if (layer(name) if is_module(name) else layer("specdec.split")) > layer(module)
    ]

    assert not wrong


def uses() -> Iterator[tuple[str, str]]:
    """What each module of specdec but the package itself imports from specdec, name by name."""
    for path in own("specdec"):
        for name, taken in imports(path):
            if name.split(".")[0] == "specdec" and module_of(path) != "specdec":
                yield from ((module_of(path), f"{name}.{one}") for one in (taken if name == "specdec" else [""]))


def is_module(name: str) -> bool:
    return name.split(".")[1] in set().union(*LAYERS)


def test_specdec_imports_no_plugin() -> None:
    wrong = [
        f"{path} imports {name}"
        for path in own("specdec")
        for name, _ in imports(path)
        if name.split(".")[0] in PLUGINS
    ]

    assert not wrong


def public(module: str) -> set[str]:
    found = importlib.import_module(module)
    return set(getattr(found, "__all__", [name for name in vars(found) if not name.startswith("_")]))


def test_plugins_import_public_names_alone() -> None:
    """From a module without a leading underscore, names that it lists."""
    taken = [
        (path, name, names)
        for path in set(FILES) - set(own("specdec"))
        for name, names in imports(path)
        if name.split(".")[0] == "specdec"
    ]
    private = [f"{path} imports {name}" for path, name, _ in taken if "._" in name]
    hidden = [
        f"{path} takes {sorted(set(names) - public(name))} from {name}"
        for path, name, names in taken
        if not set(names) <= public(name)
    ]

    assert not private
    assert not hidden


def test_the_public_names_are_there() -> None:
    """All that `__all__` promises, in order."""
    package = importlib.import_module("specdec")

    assert all(hasattr(package, name) for name in package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)


def test_files_stay_below_300_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in [*FILES, *(ROOT / "tests").glob("**/*.py")]}

    assert {path: length for path, length in lengths.items() if length >= 300} == {}
