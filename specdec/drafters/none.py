"""Plain decoding."""

from specdec.context import Context
from specdec.interfaces import Drafter, TreePolicy
from specdec.tree import Tree


class NoDrafter(Drafter):
    """Proposes nothing: one token per pass of the target, to compare with."""

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        return [
            None if done else Tree.root(tokens[-1]) for tokens, done in zip(context.tokens, context.done, strict=True)
        ]
