"""What the checks share: trees that must not change, and errors that say where they arose."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from specdec.tree import Tree


@contextmanager
def unchanged(tree: Tree, who: str) -> Iterator[None]:
    """Check that a tree is left as it is.

    Raises:
        AssertionError: the message says who wrote to which tree.
    """
    before = _contents(tree)
    yield
    if _contents(tree) != before:
        raise AssertionError(f"expected {who} to leave the tree as it is, got {described(tree)}")


@contextmanager
def checking(what: str) -> Iterator[None]:
    """Make an AssertionError of whatever is raised inside, and add what was being checked."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}; {what}") from error
    except Exception as error:
        raise AssertionError(f"expected no error, got {type(error).__name__}: {error}; {what}") from error


def described(tree: Tree) -> str:
    """Name a tree by its tokens and parents."""
    return f"a tree of tokens {tree.tokens} under parents {tree.parents}"


def _contents(tree: Tree) -> tuple[Any, ...]:
    """Copy everything that a tree holds, and what it has worked out."""
    lists: tuple[list[Any], ...] = (
        tree.tokens,
        tree.parents,
        tree.scores,
        tree.depths,
        tree.leaves,
        tree.ancestors,
        *tree.children,
    )
    probs = {node: row.tolist() for node, row in tree.probs.items()}
    return [list(part) for part in lists], tree.drawn, probs
