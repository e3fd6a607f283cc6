"""Adaptive growth: what is drawn next may depend on everything drawn so far, as long as nothing is taken back."""

from typing import Literal

from attrs import frozen

from specdec.chance import Dice
from specdec.testing.instances import Instance
from specdec.tree import Tree


@frozen
class Action:
    """Draw or place a child under node `node` modulo the tree's size, or stop."""

    node: int
    what: Literal["draw", "place", "stop"]


@frozen
class Growth:
    """A decision table: at each turn, the tokens of the tree so far choose among the turn's actions."""

    turns: tuple[tuple[Action, ...], ...]

    def __call__(self, instance: Instance, dice: Dice) -> Tree:
        tree = Tree.root(0)
        for actions in self.turns:
            action = actions[sum((place + 1) * token for place, token in enumerate(tree.tokens)) % len(actions)]
            if action.what == "stop":
                break
            parent = action.node % len(tree)
            tree = instance.draw(tree, parent, dice) if action.what == "draw" else instance.place(tree, parent)
        return tree
