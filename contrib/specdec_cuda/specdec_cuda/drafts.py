"""A batch of trees on a device, with what their nodes were drawn from."""

from collections.abc import Sequence

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Float, Int
from torch import Tensor

from specdec import Prefix, Probs, Tree, pad, upload
from specdec_cuda.kernels.coins import coins
from specdec_cuda.seeds import signed


@frozen(eq=False)
class Drafts:
    """Trees as the kernels of `rejection` and `traversal` read them, a row for each. They went up in one piece."""

    tokens: Int[Tensor, "R N"]
    parents: Int[Tensor, "R N"]
    drawn: Int[Tensor, "R N"]
    """Which row of the proposals each node was drawn from; -1 for placed nodes and padding."""
    seeds: Int[Tensor, " R"]
    lengths: Int[Tensor, " R"]
    proposals: Float[Tensor, "K Q"]

    @classmethod
    def of(cls, trees: Sequence[Tree], prefixes: Sequence[Prefix], device: torch.device) -> "Drafts":
        """Lay out trees; padding has the token and parent -1."""
        given = [[tree.proposal(node) for node in range(len(tree))] for tree in trees]
        numbers = iter(range(sum(map(len, given))))
        drawn = pad([[-1 if q is None else next(numbers) for q in proposals] for proposals in given])
        parts = (
            pad([tree.tokens for tree in trees]).int(),
            pad([tree.parents for tree in trees]).int(),
            drawn.int(),
            torch.tensor([signed(prefix.sampling.seed) for prefix in prefixes]),
            torch.tensor([len(prefix.tokens) for prefix in prefixes]),
            _stacked([q for proposals in given for q in proposals if q is not None]),
        )
        return cls(*upload(device, *parts))

    @property
    def coins(self) -> Int[Tensor, "R N"]:
        """Toss a coin for each node."""
        return coins(self.seeds, self.lengths, self.tokens.shape[1])


def _stacked(proposals: Sequence[Probs]) -> Float[Tensor, "K Q"]:
    """Stack rows, with zeros for what some drafters do not know; at least one number, so that there is an address."""
    known = max(map(len, proposals), default=1)
    stacked = np.zeros((max(len(proposals), 1), known), np.result_type(np.float32, *proposals))
    for row, q in zip(stacked, proposals, strict=False):
        row[: len(q)] = q
    return torch.from_numpy(stacked)
