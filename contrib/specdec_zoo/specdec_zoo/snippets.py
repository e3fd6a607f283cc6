"""Beginnings of functions, classes and tests, cut out of Python source."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

MIN_BODY_LINES = 4
MAX_IMPORT_LINES = 12

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Snippet:
    """A definition cut after its signature and docstring, below its file's imports."""

    key: str
    name: str
    category: str
    prompt: str
    continuation: str


def snippets(key: str, source: str) -> Iterator[Snippet]:
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    lines = source.splitlines()
    imports = _imports(module, lines)
    for parent, node in _definitions(module):
        cut = _cut(node)
        end = node.end_lineno or cut
        if end - cut < MIN_BODY_LINES:
            continue
        header = lines[_first_line(node) - 1 : cut]
        if parent is not None:
            header = [*lines[parent.lineno - 1 : _signature_end(parent)], *header]
        yield Snippet(
            key=key,
            name=node.name,
            category=_category(key, node),
            prompt="\n".join([*imports, "", "", *header] if imports else header).rstrip(),
            continuation="\n".join(lines[cut:end]),
        )


def _definitions(module: ast.Module) -> Iterator[tuple[ast.ClassDef | None, Definition]]:
    """Top-level functions and classes, and the methods of top-level classes."""
    for node in module.body:
        if isinstance(node, Definition):
            yield None, node
        if isinstance(node, ast.ClassDef):
            yield from ((node, item) for item in node.body if isinstance(item, Definition))


def _category(key: str, node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        return "classes"
    if node.name.startswith("test"):
        return "tests"
    return "other" if "test" in key else "functions"


def _imports(module: ast.Module, lines: list[str]) -> list[str]:
    imports: list[str] = []
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports += lines[node.lineno - 1 : node.end_lineno]
            if len(imports) >= MAX_IMPORT_LINES:
                break
    return imports if len(imports) <= MAX_IMPORT_LINES else []


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _cut(node: Definition) -> int:
    """The last line of the docstring, or else of the signature and the comments under it."""
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        return first.end_lineno or first.lineno
    return (_first_line(first) if isinstance(first, Definition) else first.lineno) - 1


def _signature_end(node: ast.ClassDef) -> int:
    bases = [node.lineno, *(base.end_lineno or 0 for base in node.bases)]
    return max([*bases, *(keyword.end_lineno or 0 for keyword in node.keywords)])
