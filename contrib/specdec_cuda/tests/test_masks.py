"""Masks are those of `TreePass`, windows and chunks included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specdec_cuda.kernels.masks import mask

from specdec import Tree
from specdec.pack import pack
from specdec.target import TreePass
from specdec.target.tree_pass import Chunk, Window


def check(trees: list[Tree], lengths: list[int], extra: int, dtype: torch.dtype, window: Window | None) -> None:
    """The last nodes of trees, as if the others had been read before, and all of them."""
    packed = pack(trees)
    size = packed.tokens.shape[1]
    for start in {0, size // 2}:
        tree = TreePass(lengths, packed.depths, packed.ancestors[:, start:], max(lengths) + size + extra)
        made = mask(tree.visible, tree.depths, tree.lengths, tree.end, dtype, window)
        assert torch.equal(made, tree.mask(dtype, window))


@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=2),
    extra=st.integers(0, 5),
    window=st.none() | st.integers(1, 20) | st.integers(1, 20).map(Chunk),
)
@settings(max_examples=12)
def test_a_node_sees_what_a_pass_lets_it_see(seed: int, sizes: list[int], extra: int, window: Window | None) -> None:
    rng = np.random.default_rng(seed)
    trees = [Tree.of([0] * size, [-1, *(int(rng.integers(0, node)) for node in range(1, size))]) for size in sizes]

    check(trees, rng.integers(1, 12, len(sizes)).tolist(), extra, torch.float32, window)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_more_than_one_block_of_half_precision(dtype: torch.dtype) -> None:
    check([Tree.of([0] * 3, [-1, 0, 1])], [1030], 4, dtype, None)


def test_more_nodes_than_a_word_has_bits() -> None:
    check([Tree.of([0] * 66, [-1, *[0] * 63, 63, 64])], [2], 0, torch.float32, None)
