"""Masks and positions of a pass, against the definition, column by column."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from specdec.target import TreePass


@st.composite
def passes(draw: st.DrawFn) -> tuple[TreePass, list[list[int]]]:
    """Draw a pass over the last nodes of some trees, and the parents of all."""
    rows, count = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    start = draw(st.integers(0, count - 1))
    lengths = draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows))
    parents = [[-1, *(draw(st.integers(0, node - 1)) for node in range(1, count))] for _ in lengths]
    paths = [[path(above, node) for node in range(count)] for above in parents]
    depths = torch.tensor([[len(nodes) - 1 for nodes in row] for row in paths])
    visible = torch.tensor([[[seen in nodes for seen in range(count)] for nodes in row[start:]] for row in paths])
    end = max(lengths) + count + draw(st.integers(0, 5))
    return TreePass(torch.tensor(lengths), depths, visible, end), parents


def path(parents: list[int], node: int) -> list[int]:
    return [] if node < 0 else [*path(parents, parents[node]), node]


@given(drawn=passes(), window=st.none() | st.integers(1, 20), dtype=st.sampled_from([torch.float64, torch.bfloat16]))
def test_a_node_sees_decided_tokens_and_its_ancestors_within_the_window(
    drawn: tuple[TreePass, list[list[int]]], window: int | None, dtype: torch.dtype
) -> None:
    tree, parents = drawn
    mask = tree.mask(dtype, window)
    assert mask.dtype == dtype
    assert mask.shape == (len(parents), 1, tree.visible.shape[1], tree.end)
    for row, above in enumerate(parents):
        length = int(tree.lengths[row])
        for query in range(mask.shape[2]):
            nodes = path(above, tree.start + query)
            position = length + len(nodes) - 1
            sees = {column: column for column in range(length)}  # columns, and the positions of what is in them
            sees |= {length + node: length + depth for depth, node in enumerate(nodes)}
            near = {column for column, stands in sees.items() if window is None or position - stands < window}
            wanted = [0.0 if column in near else torch.finfo(dtype).min for column in range(tree.end)]
            assert mask[row, 0, query].tolist() == wanted
            assert int(tree.positions[row, query]) == position
            assert int(tree.columns[row, query]) == length + tree.start + query


def test_a_pass_ends_with_its_longest_row_unless_told_otherwise() -> None:
    assert TreePass(torch.tensor([3, 8]), torch.zeros(2, 4).long(), torch.ones(2, 4, 4).bool()).end == 12
