"""The loop that policies shape and drafters feed."""

from specdec.data import Context
from specdec.frontier import Frontier, Reader, Score
from specdec.interfaces import TreePolicy
from specdec.tree import Tree, array

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
        widths = array(policy.widths(tree))
        widths = widths * (array(tree.nodes) & (array(tree.depths) < room))  # a row that is full needs no more
        before = tree.tokens.shape[1]
        if widths.any():
            reader.read(tree, widths)
            drawing = policy.sampled and reader.warm
            tree = reader.draw(tree, widths, policy.draws) if drawing else reader.place(tree, widths)
        if tree.tokens.shape[1] == before:  # the policy has enough, or the drafter has nothing to add
            return tree, tree.select(policy.keep(tree))
