"""Trees on the wire: tokens and parents, from which all else follows."""

import numpy as np

from specdec.errors import ProtocolError
from specdec.split.messages import Verify, pack_tokens, unpack_tokens
from specdec.tree import Tree

NARROW = 256
"""Up to this many nodes a parent takes one byte, beyond them two."""


def pack_tree(tree: Tree) -> tuple[bytes, bytes]:
    """Encode a tree's tokens, and the parents of all nodes but the root."""
    kind = "<u1" if len(tree) <= NARROW else "<u2"
    return pack_tokens(tree.tokens), np.asarray(tree.parents[1:], kind).tobytes()


def unpack_tree(message: Verify, most: int) -> Tree:
    """Decode a tree of at most `most` nodes, all of them placed.

    Raises:
        ProtocolError: it is empty or too large, or a node does not come after its parent.
    """
    count = len(message.tokens) // 4
    width = 1 if count <= NARROW else 2
    if not 1 <= count <= most:
        raise ProtocolError(f"expected a tree of 1 to {most} nodes, got {count}")
    if len(message.parents) != width * (count - 1):
        raise ProtocolError(f"expected {count - 1} parents of {width} bytes each, got {len(message.parents)} bytes")
    tokens, depths = unpack_tokens(message.tokens), [0]
    parents: list[int] = np.frombuffer(message.parents, f"<u{width}").tolist()
    for node, parent in enumerate(parents, 1):
        if parent >= node:
            raise ProtocolError(f"expected node {node} to come after its parent, got {parent} as its parent")
        depths.append(depths[parent] + 1)
    return Tree(tokens, [-1, *parents], [0.0] * count, depths)
