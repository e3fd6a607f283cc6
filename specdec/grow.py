"""The loop that policies shape and drafters feed."""

from collections.abc import Sequence
from math import inf

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad as pad_columns

from specdec.chance import Dice
from specdec.columns import Columns
from specdec.context import Context
from specdec.errors import TreeError
from specdec.frontier import Score, Scores
from specdec.interfaces import TreePolicy
from specdec.largest import largest
from specdec.transfer import upload
from specdec.tree import Child, Tree

Widths = list[tuple[int, int]]
"""Nodes of a tree, and how many children each is to get."""


def grow(
    context: Context, policy: TreePolicy, score: Score, vocabulary: Sequence[int] | Int[Tensor, " W"] | None = None
) -> list[Tree | None]:
    """Grow a tree for each sequence until its policy has enough, then keep what the policy finds worth verifying.

    Children are placed in the order of `logits + temperature * noise`, where the noise is the target's own at that
    position: what the target is about to pick is then likely among them. At temperature 0 that is the order of the
    logits. Policies that sample draw children from `softmax(logits / temperature)` instead, all or the first few; the
    likeliest of the others follow, and are left out of what is drawn from. A drafter that knows a few tokens only
    gives scores of those, and their ids in ascending order as the `vocabulary`; a last score more is that of all other
    tokens together.
    """
    sequences, trees = context.active, [Tree.root(context.tokens[i][-1]) for i in context.active]
    dice, room = [context.dice[i] for i in sequences], [context.room[i] for i in sequences]
    temperatures = [context.sampling[i].temperature for i in sequences]
    scores, growing, columns = Scores(score, sequences), set(range(len(trees))), Columns(vocabulary)
    while True:
        widths = [_widths(tree, policy, room[i]) if i in growing else [] for i, tree in enumerate(trees)]
        if not any(widths):
            break
        nodes = [[node for node, _ in row] for row in widths]
        logits = columns.within(scores(trees, nodes), context.vocab_size)
        if policy.sampled and any(temperatures):
            rows = zip(trees, widths, logits.cpu(), dice, temperatures, strict=True)  # chances are the host's
            grown = [_draw(policy, columns, *row) for row in rows]
        else:
            if any(temperatures):
                size = columns.size(logits, context.vocab_size)
                noise = columns.pick(_noise(trees, nodes, dice, temperatures, size, logits.device)).to(logits.dtype)
                logits = logits + pad_columns(noise, (0, logits.shape[-1] - noise.shape[-1]))
            sharp = logits * policy.sharpness if policy.sharpness != 1 else logits
            children = _promising(columns, trees, widths, sharp)
            grown = [tree.place(row) for tree, row in zip(trees, children, strict=True)]
        growing = {i for i in growing if len(grown[i]) > len(trees[i])}  # a policy asks the same of the same tree
        trees = grown
    drafts = {i: tree.select(policy.keep(tree)) for i, tree in zip(sequences, trees, strict=True)}
    return [drafts.get(i) for i in range(len(context.tokens))]


def _widths(tree: Tree, policy: TreePolicy, room: int) -> Widths:
    """List the nodes that get children, best first, so that these come in the order of EAGLE-2's own trees."""
    wanted = policy.widths(tree)
    if not all(0 <= node < len(tree) for node in wanted):
        raise TreeError(f"expected widths of nodes of the tree's {len(tree)}, got those of {sorted(wanted)}")
    widths = [(int(node), int(width)) for node, width in wanted.items() if width > 0 and tree.depths[node] < room]
    return sorted(widths, key=lambda pair: (-tree.scores[pair[0]], pair[0]))


def _promising(
    columns: Columns, trees: list[Tree], widths: list[Widths], logits: Float[Tensor, "R M V"]
) -> list[list[Child]]:
    """List the most promising children that each node does not have yet."""
    log_q = columns.known(logits.log_softmax(-1))
    for row, (tree, pairs) in enumerate(zip(trees, widths, strict=True)):
        for place, (node, _) in enumerate(pairs):
            if tree.children[node]:
                log_q[row, place, columns.of([tree.tokens[child] for child in tree.children[node]])] = -inf
    widest = max(width for pairs in widths for _, width in pairs)
    best = largest(log_q, min(widest, log_q.shape[-1]))
    return [
        [
            (columns.token(column), node, tree.scores[node] + gain)
            for pairs, (node, width) in zip(best[row], widths[row], strict=False)
            for column, gain in pairs[:width]
            if gain > -inf
        ]
        for row, tree in enumerate(trees)
    ]


def _draw(
    policy: TreePolicy,
    columns: Columns,
    tree: Tree,
    widths: Widths,
    logits: Float[Tensor, "M V"],
    dice: Dice,
    temperature: float,
) -> Tree:
    """Draw children if the sequence is sampled, `policy.draws` of a node at most, and place the likeliest others."""
    most = 0 if temperature == 0 else inf if policy.draws is None else policy.draws
    placed = [(node, width - int(min(width, most))) for node, width in widths]
    children = _promising(columns, [tree], [placed], logits[None])[0] if any(width for _, width in placed) else []
    if most > 0:
        chances = (logits / temperature).softmax(-1).nan_to_num_(0.0)  # zero where nothing can follow
        probs = columns.spread(chances).numpy()
        for token, node, _ in children:
            probs[[pair[0] for pair in widths].index(node), token] = 0
        for place, (node, width) in sorted(enumerate(widths), key=lambda pair: pair[1]):
            tree = tree.draw(node, int(min(width, most)), probs[place], dice)
    return tree.place(children)


def _noise(
    trees: list[Tree],
    nodes: list[list[int]],
    dice: list[Dice],
    temperatures: list[float],
    size: int,
    device: torch.device,
) -> Float[Tensor, "R _ V"]:
    """Scale the noise that the target adds after these nodes; once per sequence where all have one depth."""
    depths = [[tree.depths[node] for node in row] for tree, row in zip(trees, nodes, strict=True)]
    if all(depth == row[0] for row in depths for depth in row):
        depths = [row[:1] for row in depths]
    count = max(map(len, depths))
    padded = [[*row, *[0] * (count - len(row))] for row in depths]
    keys = [one.key(depth) for one, row in zip(dice, padded, strict=True) for depth in row]
    scales = [temperature for temperature in temperatures for _ in range(count)]
    if (made := dice[0].chance.noise_on(device, keys, scales, size)) is not None:
        return made.view(len(trees), count, size)
    noise = torch.zeros(len(trees), count, size)
    for row, temperature in enumerate(temperatures):
        scaled = dice[row].scaled_noise(depths[row], size, temperature) if temperature > 0 else None
        if scaled is not None:
            noise[row, : len(scaled)] = torch.from_numpy(scaled)
    return upload(device, noise)[0]
