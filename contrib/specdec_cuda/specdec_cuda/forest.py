"""A batch of trees on a device."""

from collections.abc import Sequence

import torch
from attrs import evolve, fields, frozen
from jaxtyping import Float, Int
from torch import Tensor

from specdec import Prefix, Tree, pad, upload
from specdec_cuda.kernels.race import levels, race
from specdec_cuda.kernels.settle import settle
from specdec_cuda.kernels.walk import walk
from specdec_cuda.seeds import signed


@frozen(eq=False)
class Forest:
    """Trees and how their sequences are sampled, as kernels read them: a row for each, which went up in one piece."""

    tokens: Int[Tensor, "R N"]
    parents: Int[Tensor, "R N"]
    depths: Int[Tensor, "R N"]
    order: Int[Tensor, "R N"]
    starts: Int[Tensor, "R L"]
    seeds: Int[Tensor, " R"]
    lengths: Int[Tensor, " R"]
    temperatures: Float[Tensor, " R"]
    top_k: Int[Tensor, " R"]
    top_p: Float[Tensor, " R"]
    min_p: Float[Tensor, " R"]

    @classmethod
    def of(cls, trees: Sequence[Tree], prefixes: Sequence[Prefix], device: torch.device) -> "Forest":
        """Lay out trees; padding has the token, parent and depth -1."""
        order, starts = levels(trees)
        nodes = [pad([getattr(tree, name) for tree in trees]) for name in ("tokens", "parents", "depths")]
        samplings = [prefix.sampling for prefix in prefixes]
        parts = (
            *(part.int() for part in (*nodes, torch.tensor(order), torch.tensor(starts))),
            torch.tensor([signed(one.seed) for one in samplings]),
            torch.tensor([len(prefix.tokens) for prefix in prefixes]),
            torch.tensor([one.temperature for one in samplings], dtype=torch.float32),
            torch.tensor([min(one.top_k or ALL, ALL) for one in samplings], dtype=torch.int32),
            torch.tensor([one.top_p or 1.0 for one in samplings], dtype=torch.float64),
            torch.tensor([one.min_p or 0.0 for one in samplings], dtype=torch.float32),
        )
        return cls(*upload(device, *parts))

    def rows(self, rows: slice) -> "Forest":
        """Take some of the rows."""
        return evolve(self, **{part.name: getattr(self, part.name)[rows] for part in fields(Forest)})

    def race(self, logits: Float[Tensor, "R N V"]) -> Int[Tensor, "R N H"]:
        """Find the winners after each node, in heats."""
        return race(logits, self.seeds, self.temperatures, self.lengths, self.order, self.starts)

    def settle(self, winners: Int[Tensor, "R N H"], logits: Float[Tensor, "R N V"]) -> None:
        """Put others in the place of winners that top-k, top-p or min-p cuts."""
        sampling = self.seeds, self.temperatures, self.lengths
        settle(winners, logits, *sampling, self.depths, self.top_k, self.top_p, self.min_p)

    def walk(self, winners: Int[Tensor, "R N H"]) -> Int[Tensor, "R 3"]:
        """Follow the winners down: see `specdec_cuda.ending`."""
        return walk(winners, self.tokens, self.parents)


ALL = 2**31 - 1
"""A `top_k` that cuts nothing."""
