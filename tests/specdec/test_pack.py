"""From lists to tensors and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdec import pack
from specdec.pack import bits, pad
from tests.specdec.trees import Node, lineage, node_lists, tree_of


@given(st.lists(node_lists(most=20), min_size=1, max_size=4))
def test_packed_trees_are_padded_rows_that_see_their_ancestors(forest: list[list[Node]]) -> None:
    """Padding repeats the root at depth 0, and sees itself alone."""
    packed = pack([tree_of(nodes) for nodes in forest])
    size = max(map(len, forest))

    for row, nodes in enumerate(forest):
        gap = size - len(nodes)
        assert packed.tokens[row].tolist() == [token for token, _ in nodes] + [nodes[0][0]] * gap
        assert packed.depths[row].tolist() == [len(lineage(nodes, n)) - 1 for n in range(len(nodes))] + [0] * gap
        for node in range(size):
            seen = packed.ancestors[row, node].nonzero()[:, 0].tolist()
            assert seen == sorted(lineage(nodes, node) if node < len(nodes) else [node])


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=4), st.integers(-1, 0))
def test_rows_are_filled_up_to_the_longest(rows: list[list[int]], fill: int) -> None:
    longest = max(map(len, rows))

    assert pad(rows, fill).tolist() == [row + [fill] * (longest - len(row)) for row in rows]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 65])
@given(data=st.data())
def test_bits_are_read_lowest_first(size: int, data: st.DataObject) -> None:
    number = st.integers(0, 2**size - 1)
    rows = data.draw(st.lists(st.lists(number, min_size=2, max_size=2), min_size=1, max_size=3))
    read = bits(rows, size)

    assert read.dtype == torch.bool
    assert read.tolist() == [[[bool(n >> place & 1) for place in range(size)] for n in row] for row in rows]
