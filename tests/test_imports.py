"""What is public is listed, rooms import one another in one direction, and plugins import public names alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"testing": set[str](), "training": set[str](), "bench": {"training"}, "cli": {"bench", "testing", "training"}}
"""The rooms above the core, and what each may import of the others; the core imports none of them."""
LISTED = ("specdec/bench", "specdec/cli", "specdec/training")
"""Folders whose every module lists its public names; elsewhere packages do."""
PUBLIC = {
    "specdec",
    "specdec.context",
    "specdec.decode",
    "specdec.drafters.borrowed",
    "specdec.drafters.files",
    "specdec.drafters.halved",
    "specdec.drafters.head",
    "specdec.errors",
    "specdec.features",
    "specdec.grow",
    "specdec.hookspecs",
    "specdec.interfaces",
    "specdec.nodes",
    "specdec.options",
    "specdec.plugins",
    "specdec.policies",
    "specdec.target",
    "specdec.target.loading",
    "specdec.testing",
    "specdec.training",
    "specdec.training.checkpoints",
    "specdec.training.dataset",
    "specdec.training.trainer",
    "specdec.tree",
}
"""What plugins may import of specdec."""


def modules(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "tests" not in path.relative_to(ROOT).parts]


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Modules of specdec that a file imports, each with the names taken from it; modules count as modules."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names if alias.name.split(".")[0] == "specdec")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "specdec":
            module = str(node.module)
            inner = [alias.name for alias in node.names if file_of(f"{module}.{alias.name}")]
            yield from ((f"{module}.{name}", []) for name in inner)
            if names := [alias.name for alias in node.names if alias.name not in inner]:
                yield module, names


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    files = path.with_suffix(".py"), path / "__init__.py"
    return next((file for file in files if file.is_file()), None)


def listed(path: Path) -> list[str] | None:
    """Give `__all__`, None if there is none."""
    for node in ast.parse(path.read_text("utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def defined(path: Path) -> set[str]:
    """The names that a module has once it is imported."""
    names = set[str]()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        else:
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return names


def test_what_is_listed_is_there_once() -> None:
    for path in (path for folder in ("specdec", "specdec_moa", "specdec_eagle", "contrib") for path in modules(folder)):
        names = listed(path) or []

        assert set(names) <= defined(path), path
        assert len(set(names)) == len(names), path


def test_public_modules_list_their_names() -> None:
    packages = [path for path in modules("specdec") if path.name == "__init__.py"]
    each = [path for folder in LISTED for path in modules(folder)]
    without = [str(path.relative_to(ROOT)) for path in [*packages, *each] if listed(path) is None]

    assert without == []


@pytest.mark.parametrize("room", [*ROOMS, "core"])
def test_rooms_import_one_another_in_one_direction(room: str) -> None:
    """The command line uses the benchmark, which knows nothing of the command line."""
    above = set(ROOMS) - {room} - ROOMS.get(room, set())
    parts = [path for path in modules("specdec") if path.relative_to(ROOT / "specdec").parts[0] not in ROOMS]
    for path in parts if room == "core" else modules(f"specdec/{room}"):
        used = {module.split(".")[1] for module, _ in imports(path) if "." in module}

        assert not used & above, path


@pytest.mark.parametrize("plugin", ["specdec_moa", "specdec_eagle", "contrib"])
def test_plugins_import_public_names_alone(plugin: str) -> None:
    assert modules(plugin)
    for path in modules(plugin):
        for module, names in imports(path):
            file = file_of(module)
            public = None if file is None else listed(file)

            assert module in PUBLIC, f"{path} imports {module}"
            assert public is None or set(names) <= set(public), f"{path}: {set(names) - set(public or ())} of {module}"
