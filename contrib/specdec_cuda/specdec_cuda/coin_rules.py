"""The rules `rejection` and `traversal`, by kernels."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from specdec import Prefix, Rule, Tree, Walk
from specdec.rules import Rejection, Traversal
from specdec_cuda.decidable import decidable
from specdec_cuda.drafts import Drafts
from specdec_cuda.ending import Ending
from specdec_cuda.jit import Kernel
from specdec_cuda.kernels.coins import pick
from specdec_cuda.kernels.rejection import rejection_kernel
from specdec_cuda.kernels.residual import decide
from specdec_cuda.kernels.traversal import traversal_kernel


class _OnDevice(Rule):
    """Decides a whole batch where the logits are; trees go up in one piece, and one small transfer comes down.

    Sequences with processors of the user's, which may remember, and those whose chance is another than `Keyed` are
    decided on the host; so are logits in double precision. A sequence that a kernel cannot decide is decided again on
    the host, whose error says why.
    """

    _kernel: ClassVar[Kernel]

    def decide(
        self, trees: Sequence[Tree], logits: Float[Tensor, "R N V"], prefixes: Sequence[Prefix]
    ) -> list[Walk | Exception]:
        parts = list(zip(trees, logits, prefixes, strict=True))
        at_once = [row for row, of_row in enumerate(parts) if _decidable(*of_row)]
        walks = dict(zip(at_once, _decide(self._kernel, [parts[row] for row in at_once]), strict=True))
        return [walks.get(row) or self._attempt(*of_row) for row, of_row in enumerate(parts)]


class RejectionOnDevice(_OnDevice, Rejection):
    """Recursive rejection sampling by a kernel: what `Rejection` decides, but for coins that fall on their edge."""

    _kernel = rejection_kernel


class TraversalOnDevice(_OnDevice, Traversal):
    """Traversal by a kernel: what `Traversal` decides, but for coins that fall on their edge."""

    _kernel = traversal_kernel


def _decidable(tree: Tree, logits: Float[Tensor, "N V"], prefix: Prefix) -> bool:
    size = logits.shape[-1]
    return (
        decidable(prefix, logits.dtype)
        and max(tree.tokens) < size
        and all(q.dtype in (np.float32, np.float64) and len(q) <= size for q in tree.probs.values())
    )


def _decide(kernel: Kernel, parts: Sequence[tuple[Tree, Float[Tensor, "N V"], Prefix]]) -> list[Walk | None]:
    """Decide on whole sequences; None where that fails."""
    if not parts:
        return []
    trees, logits, prefixes = zip(*parts, strict=True)
    drafts = Drafts.of(trees, prefixes, logits[0].device)
    probs = logits[0].new_zeros(*drafts.tokens.shape, logits[0].shape[-1], dtype=torch.float32)
    for row, (tree, of_row, prefix) in enumerate(parts):
        probs[row, : len(tree)] = _probs(tree, of_row, prefix)
    read = drafts.proposals, drafts.drawn, drafts.coins, drafts.tokens, drafts.parents
    endings, masses = decide(kernel, probs, *read)
    pick(probs, masses, endings, drafts.seeds, drafts.lengths)
    return [Ending(*row).walk(tree) for tree, row in zip(trees, endings.tolist(), strict=True)]


def _probs(tree: Tree, logits: Float[Tensor, "N V"], prefix: Prefix) -> Float[Tensor, "_ V"]:
    """Turn logits into probabilities after all nodes, as `specdec.sampling.probs`; NaN where there are none."""
    temperature = float(prefix.sampling.temperature)
    scores = prefix.scores_after_all(tree, logits)
    tempered = scores / temperature if temperature > 0 else scores
    best, token = tempered.max(-1, keepdim=True)  # a NaN if there is any, and the lowest token of equal ones
    probs = tempered.softmax(-1) if temperature > 0 else torch.zeros_like(scores).scatter_(-1, token, 1)
    return probs.masked_fill(~best.isfinite(), torch.nan)
