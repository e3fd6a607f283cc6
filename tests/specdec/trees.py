"""Random trees, and the obvious way to everything that is asked of them."""

from hypothesis import strategies as st

from specdec import Tree

Node = tuple[int, int]
"""Token and parent of a node; the root's parent is -1."""


@st.composite
def node_lists(draw: st.DrawFn, vocab: int = 5, most: int = 9) -> list[Node]:
    """The nodes of one tree, the root first, parents before children."""
    size = draw(st.integers(1, most))
    token = st.integers(0, vocab - 1)
    return [(draw(token), draw(st.integers(0, node - 1)) if node else -1) for node in range(size)]


def tree_of(nodes: list[Node]) -> Tree:
    """The nodes as a tree; a node's score is minus its depth."""
    depths = [len(lineage(nodes, node)) - 1 for node in range(len(nodes))]
    tokens, parents = (list(part) for part in zip(*nodes, strict=True))
    return Tree(tokens, parents, [-float(depth) for depth in depths], depths)


def lineage(nodes: list[Node], node: int) -> list[int]:
    """The node, its parent, and so on to the root."""
    above = nodes[node][1]
    return [node, *lineage(nodes, above)] if above >= 0 else [node]


def words(tree: Tree | None) -> list[tuple[int, ...]]:
    """Every node as the tokens on the way to it, in sorted order: what a tree is, whatever its numbering."""
    if tree is None:
        return []
    return sorted(tuple(tree.tokens[step] for step in [0, *tree.path(node)]) for node in range(len(tree)))


def whole(trees: list[Tree | None]) -> list[Tree]:
    """The trees of a batch of which no sequence is done."""
    assert all(tree is not None for tree in trees)
    return [tree for tree in trees if tree is not None]
