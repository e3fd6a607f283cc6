"""Sample the target, follow the tree."""

from specdec.chance import Dice
from specdec.interfaces import Law, Rule, Walk
from specdec.tree import Tree


class Match(Rule):
    """Go down the tree for as long as it holds what the target itself says.

    The target's noise depends on seed and position alone, so the output is the same for every tree, and
    for none: exact whatever the tree's origin, and optimal for placed ones (Daliri, Musco and Suresh,
    arXiv 2408.07978, carry the idea of shared noise).
    """

    def walk(self, tree: Tree, row: int, law: Law, dice: Dice) -> Walk:
        children, tokens = tree.children(row), tree.lists.tokens[row]
        path, node = list[int](), 0
        while True:
            token = dice.target(law(node), len(path))
            node = next((child for child in children[node] if tokens[child] == token), 0)
            if node == 0:
                return Walk(path, token)
            path.append(node)
