"""Where a tree grows: the nodes whose children are asked for, and what the drafter says of them.

All but the rows of the vocabulary is small, so it is worked out in numpy, whose calls cost a fifth of torch's.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.data import Context
from specdec.nodes import PADDING, Array, array, at, listed
from specdec.tree import Tree


@frozen(eq=False)
class Frontier:
    """Nodes whose children are asked for, `M` per row, padded where a row has fewer.

    What else there is to know of them is worked out when it is asked for: many drafters need little.
    """

    tree: Tree
    nodes: Int[Tensor, "B M"]
    before: "Frontier | None" = None
    """The nodes that were asked about before these."""

    @cached_property
    def tokens(self) -> Int[Tensor, "B M"]:
        """Their tokens."""
        return torch.from_numpy(at(self.tree.arrays.tokens, array(self.nodes), PADDING))

    @cached_property
    def depths(self) -> Int[Tensor, "B M"]:
        """Edges between each and the root; 0 for padding."""
        return torch.from_numpy(at(self.tree.arrays.depths, array(self.nodes), 0))

    @cached_property
    def read(self) -> Int[Tensor, "B C"]:
        """All nodes read so far, these included, in the order in which they were read."""
        return self.nodes if self.before is None else torch.cat([self.before.read, self.nodes], 1)

    @cached_property
    def visible(self) -> Bool[Tensor, "B M C"]:
        """Which of the nodes read so far each may attend to, in the order in which they were read."""
        return torch.from_numpy(self._seen[:, self.start :])

    @property
    def start(self) -> int:
        """How many places the nodes read before take up."""
        return 0 if self.before is None else self.before.read.shape[1]

    @cached_property
    def _seen(self) -> Array:
        """What every node read so far may attend to, [B, C, C]: itself, and what its parent sees."""
        rows, count = self.nodes.shape
        start, end = self.start, self.start + count
        seen = np.zeros((rows, end, end), bool)
        seen[:, range(end), range(end)] = True  # padding too
        if self.before is not None:
            parents = at(self.tree.arrays.parents, array(self.nodes), PADDING)[..., None]
            above = (parents == array(self.before.read)[:, None]) & (parents >= 0)
            seen[:, :start, :start] = self.before._seen
            seen[:, start:, :start] = above @ self.before._seen
        return seen


Score = Callable[[Tree, Frontier], Float[Tensor, "B M V"]]
"""Logits of what follows each node of a frontier; minus infinity marks what is not to be drafted."""


FEW = 8
"""Up to so many of the best are found faster one by one, on a CPU."""


class Reader:
    """Asks the drafter about each node at most once, and picks children by its answers."""

    def __init__(self, context: Context, score: Score, sharpness: float = 1.0) -> None:
        self.context, self.score, self.sharpness = context, score, sharpness
        self.temperatures = [sampling.temperature for sampling in context.sampling]
        self.warm = any(temperature > 0 for temperature in self.temperatures)
        self._rows = np.arange(len(self.temperatures))[:, None]
        self._frontiers: list[Frontier] = []
        self._logits: list[Tensor] = []  # [B, M, V], one for each frontier

    def place(self, tree: Tree, nodes: Array, widths: Array) -> Tree:
        """Place the most promising `widths` [B, M] children that these `nodes` [B, M] do not have yet."""
        known = self._known(nodes)
        logits = self._said(tree, nodes, known)
        if self.warm:
            logits = logits + self._noise(at(tree.arrays.depths, nodes, 0), logits.shape[-1]).to(logits)
        if self.sharpness != 1:
            logits = logits * self.sharpness
        tokens, parents, scores = self._promising(tree, nodes, widths, logits, known)
        return tree.with_placed(flat(tokens), flat(parents), flat(scores))

    def draw(self, tree: Tree, nodes: Array, widths: Array, draws: int | None) -> Tree:
        """Draw children where the row is sampled, `draws` of a node at most, and place the likeliest for the rest."""
        known = self._known(nodes)
        logits = self._said(tree, nodes, known)
        laws = self._laws(logits)
        drawn = widths * (np.array(self.temperatures) > 0)[:, None]
        drawn = drawn if draws is None else drawn.clip(max=draws)
        if (widths == drawn).all():
            return tree.with_drawn(nodes, drawn, laws, self.context.dice)
        tokens, parents, scores = self._promising(tree, nodes, widths - drawn, logits, known)
        row, index, child = (tokens >= 0).nonzero()
        laws[row, index, tokens[row, index, child]] = 0
        tree = tree.with_drawn(nodes, drawn, laws, self.context.dice)
        return tree.with_placed(flat(tokens), flat(parents), flat(scores))

    def _promising(
        self, tree: Tree, nodes: Array, widths: Array, logits: Float[Tensor, "B M V"], known: bool
    ) -> tuple[Int[Array, "B M C"], Int[Array, "B M C"], Float[Array, "B M C"]]:
        """List the best children that each node does not have yet: tokens, parents and scores."""
        log_q = logits.log_softmax(-1)
        if known:
            self._leave_out_children(tree, nodes, log_q)
        gains, tokens = best(log_q, int(widths.max()))
        count = tokens.shape[2]
        unasked = (np.arange(count) >= widths[..., None]) | ~(gains > -np.inf)
        if unasked.any():
            tokens[unasked] = PADDING
        scores = at(tree.arrays.scores, nodes, 0)[..., None] + gains
        return tokens, nodes[..., None].repeat(count, 2), scores

    def _noise(self, depths: Array, size: int) -> Float[Tensor, "B _ V"]:
        """Scale the noise that the target will add after nodes at these depths, once where all are of one level."""
        if (depths == depths[:, :1]).all():
            depths = depths[:, :1]
        noise = np.zeros((*depths.shape, size), np.float32)
        for row, temperature in enumerate(self.temperatures):
            for place, depth in enumerate(depths[row].tolist() if temperature > 0 else []):
                shared = self.context.dice[row].noise(depth, size)
                if shared is not None:
                    np.multiply(shared, temperature, out=noise[row, place])
        return torch.from_numpy(noise)

    @staticmethod
    def _leave_out_children(tree: Tree, nodes: Array, log_q: Float[Tensor, "B M V"]) -> None:
        under = (tree.arrays.parents[:, None] == nodes[..., None]) & (nodes >= 0)[..., None]
        row, index, child = under.nonzero()
        log_q[row, index, tree.arrays.tokens[row, child]] = -torch.inf

    def _laws(self, logits: Float[Tensor, "B M V"]) -> Float[Array, "B M V"]:
        """Give the drafter's laws; all zero where it has nothing to draft."""
        divisor = torch.tensor([temperature or 1.0 for temperature in self.temperatures])[:, None, None]
        return array((logits.cpu() / divisor).softmax(-1).nan_to_num_(0.0))

    def _known(self, nodes: Array) -> bool:
        """Whether any of the nodes was there when the drafter was last asked; none is in a tree grown by levels."""
        size = self._frontiers[-1].tree.tokens.shape[1] if self._frontiers else 0
        return bool(nodes.min() < size and ((nodes >= 0) & (nodes < size)).any())

    def _said(self, tree: Tree, nodes: Array, known: bool) -> Float[Tensor, "B M V"]:
        """Give the drafter's logits after these nodes, in at least single precision."""
        if not known:
            logits = self._ask(tree, nodes)
        else:
            new = (nodes >= 0) & ~self._columns(nodes).any(-1)
            if new.any():
                self._ask(tree, at(nodes, listed(new), PADDING))
            logits = torch.cat(self._logits, 1)[self._rows, self._columns(nodes).argmax(-1)]
        return logits if logits.dtype == torch.float64 else logits.float()

    def _ask(self, tree: Tree, nodes: Array) -> Float[Tensor, "B M V"]:
        before = self._frontiers[-1] if self._frontiers else None
        self._frontiers.append(Frontier(tree, torch.from_numpy(nodes), before))
        self._logits.append(self.score(tree, self._frontiers[-1]))
        return self._logits[-1]

    def _columns(self, nodes: Array) -> Bool[Array, "B M C"]:
        """Mark the places of nodes among those read so far."""
        columns: Array = nodes[..., None] == array(self._frontiers[-1].read)[:, None]
        return columns


def best(log_q: Float[Tensor, "B M V"], count: int) -> tuple[Float[Array, "B M C"], Int[Array, "B M C"]]:
    """Find the `count` largest numbers of each row, in single precision, and their places; `log_q` is used up."""
    count = min(count, log_q.shape[-1])
    if log_q.device.type == "cpu" and count <= FEW:
        return _best_in_turn(array(log_q), count)
    values, places = log_q.topk(count)
    return array(values.float().cpu()), array(places.cpu())


def _best_in_turn(log_q: Float[Array, "B M V"], count: int) -> tuple[Float[Array, "B M C"], Int[Array, "B M C"]]:
    """Take the largest number of each row out, again and again."""
    numbers = log_q.reshape(-1, log_q.shape[-1])
    rows, shape = np.arange(len(numbers)), (len(numbers), count)
    values, places = np.empty(shape, np.float32), np.empty(shape, np.int64)
    for rank in range(count):
        places[:, rank] = place = numbers.argmax(1)
        values[:, rank] = numbers[rows, place]
        if rank + 1 < count:
            numbers[rows, place] = -np.inf
    return values.reshape(*log_q.shape[:2], count), places.reshape(*log_q.shape[:2], count)


def flat(values: Array) -> Array:
    """Give the children of all nodes of a row one after the other."""
    return values.reshape(len(values), -1)
