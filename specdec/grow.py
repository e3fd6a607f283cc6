"""The loop that policies shape and drafters feed."""

import numpy as np

from specdec.data import Context
from specdec.frontier import Frontier, Reader, Score
from specdec.interfaces import TreePolicy
from specdec.nodes import Array, array, at, listed
from specdec.tree import Tree

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
    tree, room = Tree.root(context.roots), array(context.room)[:, None]
    reader = Reader(context, score, float(policy.sharpness))
    while True:
        before, widths = tree.arrays, array(policy.widths(tree))
        below = before.depths < room  # a row that is full needs no more
        nodes = listed((widths > 0) & before.real & below)
        if nodes.shape[1]:
            nodes = best_first(before.scores, nodes)
            asked = at(widths, nodes, 0)
            drawing = policy.sampled and reader.warm
            tree = reader.draw(tree, nodes, asked, policy.draws) if drawing else reader.place(tree, nodes, asked)
        if tree.tokens.shape == before.tokens.shape:  # the policy has enough, or the drafter has nothing to add
            return tree, tree.select(policy.keep(tree))


def best_first(scores: Array, nodes: Array) -> Array:
    """Order each row's nodes by falling score, so that their children stand as in EAGLE-2's own trees."""
    if nodes.shape[1] == 1:
        return nodes
    order = (-at(scores, nodes, -np.inf)).argsort(1, kind="stable")
    ordered: Array = nodes[np.arange(len(nodes))[:, None], order]
    return ordered
