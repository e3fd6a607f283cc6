"""Masks are those of `TreePass`, windows and chunks included."""

import numpy as np
import pytest
import torch
from batches import INTS
from specdec_cuda.kernels.masks import mask

from specdec import Tree
from specdec.pack import pack, pad
from specdec.target import TreePass
from specdec.target.tree_pass import Chunk, Window


def check(trees: list[Tree], lengths: list[int], extra: int, dtype: torch.dtype, window: Window | None) -> None:
    """Lengths include the root, which a pass reads as its first node."""
    packed = pack(trees)
    end = max(lengths) - 1 + packed.tokens.shape[1] + extra
    expected = TreePass([length - 1 for length in lengths], packed.depths, packed.ancestors, end).mask(dtype, window)
    parents, depths = (pad(part).to(INTS) for part in ([one.parents for one in trees], [one.depths for one in trees]))

    assert torch.equal(mask(parents, depths, torch.tensor(lengths), end, dtype, window), expected)


@pytest.mark.parametrize("window", [None, 1, 3, 9, 40, Chunk(1), Chunk(4), Chunk(40)])
def test_a_node_sees_what_a_pass_lets_it_see(window: Window | None) -> None:
    """Trees of any shapes and sizes, after texts of any lengths."""
    rng = np.random.default_rng(3)
    sizes, lengths = rng.integers(1, 9, 3), rng.integers(1, 15, 3)
    trees = [Tree.of([0] * size, [-1, *(int(rng.integers(0, node)) for node in range(1, size))]) for size in sizes]

    check(trees, lengths.tolist(), 2, torch.float32, window)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_more_than_one_block_of_half_precision(dtype: torch.dtype) -> None:
    check([Tree.of([0] * 3, [-1, 0, 1])], [1030], 4, dtype, None)


def test_more_nodes_than_a_word_has_bits() -> None:
    check([Tree.of([0] * 66, [-1, *[0] * 63, 63, 64])], [2], 0, torch.float32, None)
