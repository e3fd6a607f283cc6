"""Where a tree grows: the nodes whose children are asked for, and what the drafter says of them.

All but the rows of the vocabulary is small, so it is worked out in numpy, whose calls cost a fifth of torch's.
"""

from collections.abc import Callable

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.data import Context
from specdec.tree import PADDING, Array, Tree, array, listed


@frozen(eq=False)
class Frontier:
    """Nodes whose children are asked for, `M` per row, padded where a row has fewer.

    `visible` says which of the nodes read so far, these included, each may attend to, in the order in
    which they were read.
    """

    nodes: Int[Tensor, "B M"]
    tokens: Int[Tensor, "B M"]
    depths: Int[Tensor, "B M"]
    visible: Bool[Tensor, "B M C"]

    @property
    def start(self) -> int:
        """How many places the nodes read before take up."""
        return self.visible.shape[2] - self.visible.shape[1]


Score = Callable[[Tree, Frontier], Float[Tensor, "B M V"]]
"""Logits of what follows each node of a frontier; minus infinity marks what is not to be drafted."""


class Reader:
    """Asks the drafter about each node at most once, and picks children by its answers."""

    def __init__(self, context: Context, score: Score) -> None:
        self.context, self.score = context, score
        self.temperatures = [sampling.temperature for sampling in context.sampling]
        self.warm = any(temperature > 0 for temperature in self.temperatures)
        rows = len(self.temperatures)
        self._rows = np.arange(rows)[:, None]
        self._columns: Array = np.empty((rows, 0), np.int64)  # of each node, in reading order
        self._visible: Array = np.empty((rows, 0, 0), bool)  # [B, C, C], what each node read may attend to
        self._logits: list[Tensor] = []  # [B, M, V] each, a row for each node read

    def read(self, tree: Tree, widths: Array) -> None:
        """Have the nodes scored that grow now and were not before."""
        columns = np.full(widths.shape, PADDING)
        columns[:, : self._columns.shape[1]] = self._columns
        new = (widths > 0) & (columns < 0)
        self._columns = columns
        if not new.any():
            return
        columns[new] = (new.cumsum(1) - 1 + self._visible.shape[1])[new]
        self._logits.append(self.score(tree, self._frontier(tree, new)))

    def place(self, tree: Tree, widths: Array) -> Tree:
        """Place the most promising children that each node does not have yet."""
        return tree.place(*self._promising(tree, widths, noisy=True))

    def draw(self, tree: Tree, widths: Array, draws: int | None) -> Tree:
        """Draw children where the row is sampled, `draws` at most, and place the likeliest for the rest."""
        drawn = widths * (np.array(self.temperatures) > 0)[:, None]
        drawn = drawn if draws is None else drawn.clip(max=draws)
        probs = self._probs(tree, widths)
        if not (widths > drawn).any():
            return tree.draw(torch.from_numpy(drawn), probs, self.context.dice)
        tokens, parents, scores = self._promising(tree, widths - drawn, noisy=False)
        row, index = (tokens >= 0).nonzero(as_tuple=True)
        probs[row, parents[row, index], tokens[row, index]] = 0
        return tree.draw(torch.from_numpy(drawn), probs, self.context.dice).place(tokens, parents, scores)

    def _frontier(self, tree: Tree, new: Array) -> Frontier:
        """List the nodes to be scored; each sees itself, and what its parent, which was read before, has seen."""
        nodes = listed(new)
        parents = array(tree.parents)[self._rows, nodes]
        start, count = self._visible.shape[1], nodes.shape[1]
        grown = np.zeros((len(nodes), start + count, start + count), bool)
        grown[:, :start, :start] = self._visible
        grown[:, start:, start:] = np.eye(count, dtype=bool)  # padding too
        if start:
            above = self._columns[self._rows, parents]
            grown[:, start:, :start] = self._visible[self._rows, above] & ((nodes > 0) & (parents >= 0))[..., None]
        self._visible = grown
        return Frontier(
            torch.from_numpy(nodes),
            torch.from_numpy(np.where(nodes < 0, PADDING, array(tree.tokens)[self._rows, nodes])),
            torch.from_numpy(np.where(nodes < 0, 0, array(tree.depths)[self._rows, nodes])),
            torch.from_numpy(grown[:, start:]),
        )

    def _promising(self, tree: Tree, widths: Array, noisy: bool) -> tuple[Tensor, Tensor, Tensor]:
        """List the best children that each node does not have yet: tokens, parents and scores."""
        nodes = listed(widths > 0)
        asked = np.where(nodes < 0, 0, widths[self._rows, nodes])
        log_q = self._rank(tree, nodes, noisy)
        self._leave_out_children(tree, nodes, log_q)
        best, likeliest = log_q.topk(min(int(asked.max()), log_q.shape[-1]))
        gains, tokens = array(best.float().cpu()), array(likeliest.cpu())
        wanted = (np.arange(tokens.shape[-1]) < asked[..., None]) & (gains > -np.inf)
        scores = array(tree.scores)[self._rows, nodes][..., None] + gains
        return (
            _where(wanted, tokens, PADDING),
            _where(wanted, nodes[..., None], PADDING),
            _where(wanted, scores, 0),
        )

    def _rank(self, tree: Tree, nodes: Array, noisy: bool) -> Float[Tensor, "B M V"]:
        """Log-probabilities of children, once the target's noise is known if they are to be `noisy`."""
        logits = self._said(nodes)
        if noisy and self.warm:
            logits = logits.clone()
            depths = array(tree.depths)[self._rows, nodes].tolist()
            for row, temperature in enumerate(self.temperatures):
                for index, depth in enumerate(depths[row] if temperature > 0 else []):
                    noise = self.context.dice[row].noise(depth, logits.shape[-1])
                    if noise is not None:
                        logits[row, index] += temperature * torch.from_numpy(noise).to(logits)
        return logits.log_softmax(-1)

    @staticmethod
    def _leave_out_children(tree: Tree, nodes: Array, log_q: Float[Tensor, "B M V"]) -> None:
        parents, tokens = array(tree.parents), array(tree.tokens)
        if parents.max() < nodes[nodes >= 0].min():  # as when a tree grows level by level
            return
        for row, index in np.argwhere(nodes >= 0):
            log_q[row, index, tokens[row, parents[row] == nodes[row, index]]] = -torch.inf

    def _probs(self, tree: Tree, widths: Array) -> Float[Tensor, "B N V"]:
        """Give the drafter's law at the nodes that grow; all zero where it has nothing to draft."""
        nodes = np.where(widths > 0, np.arange(widths.shape[1]), PADDING)
        divisor = torch.tensor([temperature or 1.0 for temperature in self.temperatures])[:, None, None]
        return (self._said(nodes).cpu() / divisor).softmax(-1).nan_to_num(0.0)

    def _said(self, nodes: Array) -> Float[Tensor, "B M V"]:
        """Give the drafter's logits after these nodes, in at least single precision."""
        columns = np.maximum(self._columns[self._rows, np.maximum(nodes, 0)], 0)
        start, end = self._visible.shape[1] - self._logits[-1].shape[1], self._visible.shape[1]
        if columns.shape[1] == end - start and (columns == np.arange(start, end)).all():
            logits = self._logits[-1]
        else:
            logits = torch.cat(self._logits, 1)[torch.from_numpy(self._rows), torch.from_numpy(columns)]
        return logits if logits.dtype == torch.float64 else logits.float()


def _where(wanted: Array, values: Array, fill: int) -> Tensor:
    """Fill what is not wanted, and lay the children of a row's nodes [B, M, K] side by side."""
    return torch.from_numpy(np.where(wanted, values, fill).reshape(len(wanted), -1))
