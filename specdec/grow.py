"""The loop that policies shape and drafters feed."""

import numpy as np

from specdec.data import Context
from specdec.frontier import Frontier, Reader, Score, at
from specdec.interfaces import TreePolicy
from specdec.tree import Array, Tree, array, listed

__all__ = ["Frontier", "Score", "grow", "grow_with_log"]


def grow(context: Context, policy: TreePolicy, score: Score) -> Tree:
    """Grow each row's tree until its policy has enough, then keep what the policy finds worth verifying.

    Children are placed in the order of `logits + temperature * noise`, where the noise is the target's own at
    that position: what the target is about to draw is then likely among them. At temperature 0 that is the order
    of the logits. Policies that sample draw children from `softmax(logits / temperature)` instead, all or the first
    few: the likeliest then follow, left out of what is drawn from.
    """
    return grow_with_log(context, policy, score)[1]


def grow_with_log(context: Context, policy: TreePolicy, score: Score) -> tuple[Tree, Tree]:
    """Grow as `grow` does, and give the whole tree beside the one that was kept."""
    tree, reader, room = Tree.root(context.roots), Reader(context, score), array(context.room)[:, None]
    while True:
        widths, before = policy.widths(tree), tree.tokens.shape[1]
        below = array(tree.depths) < room  # a row that is full needs no more
        nodes = listed((array(widths) > 0) & array(tree.nodes) & below)
        if nodes.shape[1]:
            nodes = best_first(tree, nodes)
            asked = at(widths, nodes, 0)
            drawing = policy.sampled and reader.warm
            tree = reader.draw(tree, nodes, asked, policy.draws) if drawing else reader.place(tree, nodes, asked)
        if tree.tokens.shape[1] == before:  # the policy has enough, or the drafter has nothing to add
            return tree, tree.select(policy.keep(tree))


def best_first(tree: Tree, nodes: Array) -> Array:
    """Order each row's nodes by falling score, so that their children stand as in EAGLE-2's own trees."""
    if nodes.shape[1] == 1:
        return nodes
    order = (-at(tree.scores, nodes, -np.inf)).argsort(1, kind="stable")
    ordered: Array = nodes[np.arange(len(nodes))[:, None], order]
    return ordered
