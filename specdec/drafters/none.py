"""Plain decoding."""

from specdec.context import Context
from specdec.interfaces import Drafter, TreePolicy
from specdec.tree import Tree


class NoDrafter(Drafter):
    """Proposes nothing: one token per pass of the target, to compare with."""

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        return Tree.root(context.roots)
