"""The loop that policies shape and drafters feed."""

from specdec.context import Context
from specdec.frontier import Frontier, Score
from specdec.interfaces import TreePolicy
from specdec.nodes import PADDING, at, even
from specdec.reader import Reader
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
    tree, room = Tree.root(context.roots), context.room.tolist()
    reader = Reader(context, score, float(policy.sharpness))
    while True:
        before, widths = tree.lists, policy.widths(tree).tolist()
        rows = zip(widths, before.depths, before.tokens, before.scores, room, strict=True)
        growing = [_growing(*row) for row in rows]
        if any(growing):
            nodes = even(growing, PADDING)
            asked = at(widths, nodes, 0)
            drawing = policy.sampled and reader.warm
            tree = reader.draw(tree, nodes, asked, policy.draws) if drawing else reader.place(tree, nodes, asked)
        if tree.lists.size == before.size:  # the policy has enough, or the drafter has nothing to add
            return tree, tree.select(policy.keep(tree))


def _growing(widths: list[int], depths: list[int], tokens: list[int], scores: list[float], room: int) -> list[int]:
    """List a row's nodes that get children, best first, so that these stand as in EAGLE-2's own trees."""
    nodes = [
        node
        for node, (width, depth, token) in enumerate(zip(widths, depths, tokens, strict=True))
        if width > 0 and depth < room and token >= 0  # a row that is full needs no more
    ]
    return nodes if len(nodes) < 2 else sorted(nodes, key=lambda node: -scores[node])
