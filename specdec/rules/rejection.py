"""Recursive rejection sampling."""

from typing import Any

from specdec.chance import Dice, Probs
from specdec.interfaces import Rule, TargetProbs, Walk
from specdec.rules.arithmetic import left_over, normalised
from specdec.tree import Tree


class Rejection(Rule):
    """Try a node's children in turn, taking from the target's probabilities what each rejection has used up.

    A placed child is accepted with probability p, a drawn one with p/q where q is what it was drawn from. Exact
    for any mixture of the two (Leviathan et al., arXiv 2211.17192; without replacement: Jeon et al.,
    arXiv 2402.14160, and Chen et al., arXiv 2402.12374).
    """

    in_order = True

    def walk(self, tree: Tree, probs: TargetProbs, dice: Dice) -> Walk:
        path, node = list[int](), 0
        while True:
            accepted, p = self._try(tree, tree.children[node], probs(node), dice)
            if accepted is None:
                return Walk(path, dice.residual(p, node))
            node = accepted
            path.append(node)

    def _try(self, tree: Tree, children: list[int], p: Probs, dice: Dice) -> tuple[int | None, Probs]:
        """Give the child accepted, if any, and what is left of the target's probabilities."""
        for child in children:
            token, q = tree.tokens[child], tree.proposal(child)
            if self._accepts(p[token], 1 if q is None else q[token], child, dice):
                return child, p
            p = normalised(left_over(p, q, token), otherwise=p)
        return None, p

    def _accepts(self, p: Any, q: Any, child: int, dice: Dice) -> bool:
        return dice.accept(p, q, child)
