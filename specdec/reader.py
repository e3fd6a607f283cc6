"""What the drafter says of the nodes that grow, and the children that are picked by it."""

from math import inf

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from specdec.context import Context
from specdec.frontier import Frontier, Score
from specdec.nodes import PADDING, Array, Child, array, at, even
from specdec.tree import Tree

Places = list[list[int]]
"""A number for each of some nodes, in each row."""
Found = tuple[int, float]
"""A token, and the score of the path to it."""

FEW = 8
"""Up to so many of the best are found faster one by one, on a CPU."""


class Reader:
    """Asks the drafter about each node at most once, and picks children by its answers."""

    def __init__(self, context: Context, score: Score, sharpness: float = 1.0) -> None:
        self.context, self.score, self.sharpness = context, score, sharpness
        self.temperatures = [sampling.temperature for sampling in context.sampling]
        self.warm = any(temperature > 0 for temperature in self.temperatures)
        self._frontiers: list[Frontier] = []
        self._logits: list[Tensor] = []  # [B, M, V], one for each frontier

    def place(self, tree: Tree, nodes: Places, widths: Places) -> Tree:
        """Place the most promising `widths` children that these `nodes` do not have yet, both [B, M]."""
        known = self._known(nodes)
        logits = self._said(tree, nodes, known)
        if self.warm:
            logits = logits + self._noise(at(tree.lists.depths, nodes, 0), logits.shape[-1]).to(logits)
        if self.sharpness != 1:
            logits = logits * self.sharpness
        return tree.with_placed(self._promising(tree, nodes, widths, logits, known))

    def draw(self, tree: Tree, nodes: Places, widths: Places, draws: int | None) -> Tree:
        """Draw children where the row is sampled, `draws` of a node at most, and place the likeliest for the rest."""
        known = self._known(nodes)
        logits = self._said(tree, nodes, known)
        laws = self._laws(logits)
        drawn = [
            [min(width, width if draws is None else draws) if temperature > 0 else 0 for width in row]
            for row, temperature in zip(widths, self.temperatures, strict=True)
        ]
        placed = [[width - taken for width, taken in zip(*row, strict=True)] for row in zip(widths, drawn, strict=True)]
        children = self._promising(tree, nodes, placed, logits, known) if any(map(any, placed)) else []
        for row, likeliest in enumerate(children):
            for token, parent, _ in likeliest:
                laws[row, nodes[row].index(parent), token] = 0
        asked = [
            [wish for wish in zip(*row, strict=True) if wish[1] > 0] for row in zip(nodes, drawn, laws, strict=True)
        ]
        tree = tree.with_drawn(asked, self.context.dice)
        return tree.with_placed(children) if children else tree

    def _promising(
        self, tree: Tree, nodes: Places, widths: Places, logits: Float[Tensor, "B M V"], known: bool
    ) -> list[list[Child]]:
        """List the best children that each node does not have yet."""
        log_q = logits.log_softmax(-1)
        if known:
            self._leave_out_children(tree, nodes, log_q)
        rows = zip(nodes, best(log_q, at(tree.lists.scores, nodes, 0.0), widths), strict=True)
        return [
            [(token, node, score) for node, found in zip(*row, strict=True) for token, score in found] for row in rows
        ]

    def _noise(self, depths: Places, size: int) -> Float[Tensor, "B _ V"]:
        """Scale the noise that the target will add after nodes at these depths, once where all are of one level."""
        if all(depth == row[0] for row in depths for depth in row):
            depths = [row[:1] for row in depths]
        scaled = np.zeros((len(depths), len(depths[0]), size), np.float32)
        for row, (places, temperature) in enumerate(zip(depths, self.temperatures, strict=True)):
            for index, depth in enumerate(places if temperature > 0 else []):
                noise = self.context.dice[row].noise(depth, size)
                if noise is not None:
                    np.multiply(noise, temperature, out=scaled[row, index])
        return torch.from_numpy(scaled)

    @staticmethod
    def _leave_out_children(tree: Tree, nodes: Places, log_q: Float[Tensor, "B M V"]) -> None:
        for row, asked in enumerate(nodes):
            children = tree.children(row)
            for index, node in enumerate(asked):
                if node >= 0:
                    log_q[row, index, [tree.lists.tokens[row][child] for child in children[node]]] = -torch.inf

    def _laws(self, logits: Float[Tensor, "B M V"]) -> Float[Array, "B M V"]:
        """Give the drafter's laws; all zero where it has nothing to draft."""
        divisor = torch.tensor([temperature or 1.0 for temperature in self.temperatures])[:, None, None]
        return array((logits.cpu() / divisor).softmax(-1).nan_to_num_(0.0))

    def _known(self, nodes: Places) -> bool:
        """Whether any of the nodes was there when the drafter was last asked; none is in a tree grown by levels."""
        size = self._frontiers[-1].tree.lists.size if self._frontiers else 0
        return any(0 <= node < size for row in nodes for node in row)

    def _said(self, tree: Tree, nodes: Places, known: bool) -> Float[Tensor, "B M V"]:
        """Give the drafter's logits after these nodes, in at least single precision."""
        logits = self._remembered(tree, nodes) if known else self._ask(tree, nodes)
        return logits if logits.dtype == torch.float64 else logits.float()

    def _remembered(self, tree: Tree, nodes: Places) -> Float[Tensor, "B M V"]:
        """Look up what was said of nodes, and ask about those that are new."""
        read = self._frontiers[-1].read.tolist()
        new = [[node for node in asked if node not in known] for asked, known in zip(nodes, read, strict=True)]
        if any(max(row, default=PADDING) >= 0 for row in new):
            self._ask(tree, even(new, PADDING))
            read = self._frontiers[-1].read.tolist()
        columns = [
            [known.index(node) if node >= 0 else 0 for node in asked] for asked, known in zip(nodes, read, strict=True)
        ]
        return torch.cat(self._logits, 1)[torch.arange(len(nodes))[:, None], columns]

    def _ask(self, tree: Tree, nodes: Places) -> Float[Tensor, "B M V"]:
        before = self._frontiers[-1] if self._frontiers else None
        self._frontiers.append(Frontier(tree, nodes, before))
        self._logits.append(self.score(tree, self._frontiers[-1]))
        return self._logits[-1]


def best(log_q: Float[Tensor, "B M V"], scores: list[list[float]], widths: Places) -> list[list[list[Found]]]:
    """Find the largest numbers of each node, as many as its width, and add its score; `log_q` is used up.

    Minus infinity is not found. Of equal numbers the first comes first, if few are asked for on a CPU.
    """
    count = min(max(map(max, widths)), log_q.shape[-1])
    if log_q.device.type != "cpu" or count > FEW:
        gains, places = (part.flatten(0, 1).cpu() for part in log_q.topk(count))
        values, tokens = array(gains), places.tolist()
    else:
        numbers = array(log_q).reshape(-1, log_q.shape[-1])
        values, tokens = (_one_by_one if len(numbers) == 1 else _together)(numbers, count)
    above = np.array(scores, values.dtype).reshape(-1, 1)
    nodes = iter(zip(tokens, (values + above).tolist(), strict=True))
    return [[_found(*next(nodes), width) for width in row] for row in widths]


def _found(tokens: list[int], scores: list[float], width: int) -> list[Found]:
    return [pair for pair in zip(tokens[:width], scores[:width], strict=True) if pair[1] > -inf]


def _one_by_one(numbers: Float[Array, "1 V"], count: int) -> tuple[Float[Array, "1 C"], Places]:
    """Take the largest number out, again and again."""
    row, values, places = numbers[0], np.empty((1, count), numbers.dtype), list[int]()
    for rank in range(count):
        places.append(place := int(row.argmax()))
        values[0, rank] = row[place]
        row[place] = -inf
    return values, [places]


def _together(numbers: Float[Array, "R V"], count: int) -> tuple[Float[Array, "R C"], Places]:
    """Do the same with all rows at once."""
    rows, shape = np.arange(len(numbers)), (len(numbers), count)
    values, places = np.empty(shape, numbers.dtype), np.empty(shape, np.int64)
    for rank in range(count):
        places[:, rank] = place = numbers.argmax(1)
        values[:, rank] = numbers[rows, place]
        numbers[rows, place] = -inf
    return values, places.tolist()
