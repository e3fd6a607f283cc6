"""One token after the other."""

from attrs import field, frozen

from specdec.bounds import bounds
from specdec.interfaces import TreePolicy
from specdec.tree import Tree


@frozen
class Chain(TreePolicy):
    """A single path of `length` tokens, drawn if `sampled`, else the likeliest."""

    length: int = field(default=4, validator=bounds(1))
    sampled: bool = False

    def widths(self, tree: Tree) -> dict[int, int]:
        return dict.fromkeys(tree.leaves, 1) if tree.depth < self.length else {}
