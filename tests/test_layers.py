"""Imports go one way, specdec names no plugin, plugins take public names alone, and files stay short."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYERS = [
    {
        *("errors", "bounds", "kinds", "converters", "processors", "options", "sampling", "prefix"),
        *("canonical", "chance", "features", "pending", "tree", "pack", "transfer", "context"),
    },
    {"interfaces"},
    {
        *("rules", "frontier", "columns", "largest", "grow", "hookspecs", "observers", "metrics"),
        *("prompts", "text", "retractable", "requests", "differences", "ends", "claims", "spec", "vocabulary"),
    },
    {
        "plugins",
        "builtin",
        "target",
        "policies",
        "drafters",
        "outputs",
        "split",
        "transports",
        "remote",
        "portable_sampling",
        "integers",
    },
    {"decode"},
    {"heads"},
    {"training", "testing", "doctor"},
    {"bench"},
    {"cli"},
]
"""As section 5 of the architecture lists them; helpers are with those who use them."""
PUBLIC = {
    "specdec",
    "specdec.bench",
    "specdec.cli.options",
    "specdec.cli.parts",
    "specdec.cli.spread",
    "specdec.doctor",
    "specdec.errors",
    "specdec.heads",
    "specdec.plugins",
    "specdec.remote",
    "specdec.rules",
    "specdec.spec",
    "specdec.split",
    "specdec.target",
    "specdec.training",
    "specdec.training.trainer",
    "specdec.testing",
    "specdec.text",
    "specdec.transports",
}
"""What plugins may import of specdec; their tests may look deeper."""


def modules(*folders: str) -> list[Path]:
    """The files of packages, without their tests."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if "tests" not in path.relative_to(ROOT).parts]


@cache
def imports(path: Path) -> list[tuple[str, list[str]]]:
    """Modules of specdec that a file imports, each with the names taken from it; modules count as modules."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = str(node.module)
            public = set(listed(file_of(module) or path) or ())  # a package may export a function by its module's name
            inner = [one.name for one in node.names if one.name not in public and file_of(f"{module}.{one.name}")]
            yield from ((f"{module}.{name}", []) for name in inner)
            if names := [alias.name for alias in node.names if alias.name not in inner]:
                yield module, names


@cache
def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    files = path.with_suffix(".py"), path / "__init__.py"
    return next((file for file in files if file.is_file()), None)


@cache
def named(path: Path) -> list[ast.stmt]:
    """What a module says its names are: in its stub, if it loads them when they are used."""
    stub = path.with_suffix(".pyi")
    return ast.parse((stub if stub.is_file() else path).read_text("utf-8")).body


@cache
def listed(path: Path) -> list[str] | None:
    """Give `__all__`, None if there is none."""
    for node in named(path):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def defined(path: Path) -> set[str]:
    """The names that a module has once it is imported."""
    names = set[str]()
    for node in named(path):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        else:
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return names


def layer(module: str) -> int | None:
    """The place of a module's layer; None for the package itself, which is above all."""
    name = module.split(".")[1] if "." in module else ""
    return next((place for place, names in enumerate(LAYERS) if name in names), None)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_module_has_a_layer() -> None:
    assert [path for path in modules("specdec") if name_of(path) != "specdec" and layer(name_of(path)) is None] == []


def test_imports_go_one_way() -> None:
    """A module imports from its own layer or one below; the top layers alone may import the package by its name."""
    wrong = []
    for path in modules("specdec"):
        own = layer(name_of(path))
        for module, _ in imports(path):
            if own is None or module.split(".")[0] != "specdec":
                continue
            other = layer(module)
            if (LAYERS.index({"heads"}) if other is None else other) > own:
                wrong.append(f"{path} imports {module}")

    assert wrong == []


def test_specdec_imports_no_plugin() -> None:
    taken = [(path, module.split(".")[0]) for path in modules("specdec") for module, _ in imports(path)]

    assert [(path, name) for path, name in taken if name.startswith("specdec_")] == []


def test_public_modules_list_their_names_once() -> None:
    packages = [path for path in modules("specdec", "specdec_moa", "specdec_eagle") if path.name == "__init__.py"]
    public = {*packages, *(path for module in PUBLIC if (path := file_of(module)))}
    without = [str(path) for path in public if listed(path) is None]
    wrong = []
    for path in modules("specdec", "specdec_moa", "specdec_eagle", "contrib"):
        names = listed(path) or []
        if not set(names) <= defined(path) or len(set(names)) != len(names):
            wrong.append(f"{path} lists {names}")

    assert without == []
    assert wrong == []


def test_all_errors_are_public() -> None:
    errors = ROOT / "specdec" / "errors.py"

    assert set(listed(errors) or ()) == defined(errors) - {"__all__"}


def test_plugins_take_public_names_alone() -> None:
    wrong = []
    for path in modules("specdec_moa", "specdec_eagle", "contrib"):
        for module, names in imports(path):
            if module.split(".")[0] != "specdec":
                continue
            file = file_of(module)
            public = None if file is None else listed(file)
            if module not in PUBLIC or not set(names) <= set(public or ()):
                wrong.append(f"{path} takes {names} from {module}")

    assert wrong == []


def test_files_stay_below_300_lines() -> None:
    files = modules("specdec", "specdec_moa", "specdec_eagle", "contrib") + sorted((ROOT / "tests").rglob("*.py"))
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files}

    assert {path: length for path, length in lengths.items() if length > 300} == {}
