"""EAGLE-2's tree: expand where the drafter is confident, verify what is likeliest."""

from collections.abc import Sequence

from attrs import field, frozen

from specdec.bounds import bounds
from specdec.interfaces import TreePolicy
from specdec.tree import Tree


@frozen
class Dynamic(TreePolicy):
    """Expand the `width` likeliest nodes of each level by `width` children, keep the `size` likeliest nodes of all.

    Likely means by the probability of the whole path; ties go to the shallower node, then to the
    earlier one (Li et al., EAGLE-2, arXiv 2406.16858, section 4). `depth` counts levels and `size`
    drafted nodes: EAGLE's own `depth=d, total_tokens=m` is `depth=d+1, size=m-1` here, MoA's is
    `depth=d-1, size=m`.

    EAGLE-2 takes the drafter's probabilities as they are, `sharpness=1`. More makes trees deeper and narrower.
    """

    depth: int = field(default=6, validator=bounds(1))
    width: int = field(default=8, validator=bounds(1))
    size: int = field(default=62, validator=bounds(1))
    sharpness: float = field(default=1.0, validator=bounds(0, above=True))

    def widths(self, tree: Tree) -> dict[int, int]:
        if tree.depth >= self.depth:
            return {}
        return dict.fromkeys(likeliest(tree.scores, tree.leaves, self.width), self.width)

    def keep(self, tree: Tree) -> Sequence[int]:
        return likeliest(tree.scores, range(len(tree)), self.size + 1)


def likeliest(scores: Sequence[float], nodes: Sequence[int], count: int) -> list[int]:
    """List the `count` nodes with the best scores, best first, and earlier ones first where these tie."""
    return sorted(nodes, key=scores.__getitem__, reverse=True)[:count]
