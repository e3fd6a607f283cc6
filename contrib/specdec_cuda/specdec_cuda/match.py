"""The rule `match`, by kernels."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from specdec import Prefix, Tree, Walk, upload
from specdec.rules import Match
from specdec_cuda.decidable import decidable
from specdec_cuda.ending import Ending
from specdec_cuda.forest import Forest

SETTLED = {"top_k", "top_p", "min_p"}
"""What a kernel cuts; other options are torch's operations, on the device too."""


class MatchOnDevice(Match):
    """Decides a whole batch where the logits are; one small transfer goes up and one comes down.

    Sequences with processors of the user's, which may remember, and those whose chance is another than `Keyed` are
    decided by `Match`, as on the host; so are logits in double precision.
    """

    def decide(
        self, trees: Sequence[Tree], logits: Float[Tensor, "R N V"], prefixes: Sequence[Prefix]
    ) -> list[Walk | Exception]:
        at_once = [row for row, prefix in enumerate(prefixes) if decidable(prefix, logits.dtype)]
        walks: dict[int, Walk | Exception] = {**_decide(trees, logits, prefixes, at_once)}
        others = [row for row in range(len(trees)) if row not in walks]  # a failed one's error says why
        if others:
            forest = [trees[row] for row in others]
            theirs = _taken(logits, others)[:, : max(map(len, forest))]
            walks.update(zip(others, super().decide(forest, theirs, [prefixes[row] for row in others]), strict=True))
        return [walks[row] for row in range(len(trees))]


def _settled(prefix: Prefix) -> bool:
    """Whether kernels do all that its options ask for."""
    return not prefix.sampling.processing and prefix.sampling.filtering.keys() <= SETTLED


def _decide(
    trees: Sequence[Tree], logits: Float[Tensor, "R N V"], prefixes: Sequence[Prefix], rows: Sequence[int]
) -> dict[int, Walk]:
    """Decide on some rows, first those whose logits are raced as they are; those that fail are left out."""
    settled = [row for row in rows if _settled(prefixes[row])]
    processed = [row for row in rows if row not in settled]
    order = settled + processed
    if not order:
        return {}
    forest = Forest.of([trees[row] for row in order], [prefixes[row] for row in order], logits.device)
    winners = list[Int[Tensor, "_ N H"]]()
    if settled:
        part, nodes = forest.rows(slice(len(settled))), forest.tokens.shape[1]  # other rows may have larger trees
        raced = _taken(logits, settled)[:, :nodes]
        winners.append(part.race(raced))
        if any(prefixes[row].sampling.filtering for row in settled):
            part.settle(winners[0], raced)
    if processed:
        scores = [prefixes[row].scores_after_all(trees[row], logits[row]) for row in processed]
        winners.append(forest.rows(slice(len(settled), None)).race(_stacked(scores, forest.tokens.shape[1])))
    endings = forest.walk(torch.cat(winners)).tolist()
    walks = ((row, Ending(*ending).walk(trees[row])) for row, ending in zip(order, endings, strict=True))
    return {row: walk for row, walk in walks if walk is not None}


def _taken(logits: Float[Tensor, "R N V"], rows: Sequence[int]) -> Float[Tensor, "_ N V"]:
    return logits if len(rows) == len(logits) else logits[upload(logits.device, torch.tensor(rows))[0]]


def _stacked(scores: Sequence[Float[Tensor, "_ V"]], nodes: int) -> Float[Tensor, "R N V"]:
    stacked = scores[0].new_zeros(len(scores), nodes, scores[0].shape[-1])
    for row, part in enumerate(scores):
        stacked[row, : len(part)] = part
    return stacked
