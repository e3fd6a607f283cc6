"""Trees of drafted tokens, one per row of a batch.

Shape letters, here and everywhere: `B` rows, `N` nodes, `K` tokens decided in a step, `T` tokens in a
row, `V` vocabulary, `L` layers, `H` heads, `E` hidden size, `D` head size.
"""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from attrs import evolve, field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.chance import Dice, Weights
from specdec.errors import TreeError

PADDING = -1
"""Fills what is no node and no token; never a legal token id."""

Array = np.ndarray[Any, np.dtype[Any]]


def array(tensor: Tensor) -> Array:
    """View a tensor of the CPU as numpy's, whose calls are cheaper: the cost of small things is that of the call."""
    view: Array = tensor.numpy()
    return view


@frozen(eq=False)
class Tree:
    """Guesses at what follows each row: `N` nodes in topological order, node 0 the root.

    The root is the row's last decided token, which the target has not read yet; a row without one takes
    no part. Every other node is *placed* (any token, for any reason) or *drawn* (from its parent's row of
    `probs`, without its earlier siblings). Only `draw` makes drawn nodes, and whatever drops a node
    places the rest: forgetting how a token was found is always lawful.

    Trees live on the CPU: they are small, and it is there that rules walk them.
    """

    tokens: Int[Tensor, "B N"]
    parents: Int[Tensor, "B N"]
    scores: Float[Tensor, "B N"]
    """Log-probability of the path from the root to the node, as the drafter sees it."""
    drawn: Bool[Tensor, "B N"] | None = field(default=None, kw_only=True)
    probs: Float[Tensor, "B N V"] | None = field(default=None, kw_only=True)

    @staticmethod
    def root(tokens: Int[Tensor, " B"]) -> "Tree":
        """Start trees from the last decided tokens; a row of padding takes no part."""
        shape = len(tokens), 1
        return Tree(tokens.cpu()[:, None], torch.full(shape, PADDING), torch.zeros(shape))

    @cached_property
    def nodes(self) -> Bool[Tensor, "B N"]:
        """Which places hold a node."""
        return torch.from_numpy(array(self.tokens) >= 0)

    @cached_property
    def ancestors(self) -> Bool[Tensor, "B N N"]:
        """Whether node m is node n or above it, at [n, m]; padding has only itself."""
        size = self.tokens.shape[1]
        above = np.zeros((len(self.tokens), size, size), bool)
        above[:, range(size), range(size)] = True
        known = np.where(array(self.nodes), array(self.parents), PADDING)
        for row, parents in zip(above, known.tolist(), strict=True):
            for node, parent in enumerate(parents):  # each stands behind its parent
                if parent >= 0:
                    row[node] |= row[parent]
        return torch.from_numpy(above)

    @cached_property
    def depths(self) -> Int[Tensor, "B N"]:
        """Edges between each node and the root; 0 for padding."""
        depths: list[list[int]] = [[] for _ in self.parents]
        for row, parents in zip(depths, self.parents.tolist(), strict=True):
            for parent in parents:  # each stands before its children
                row.append(row[parent] + 1 if parent >= 0 else 0)
        return torch.tensor(depths)

    @cached_property
    def deepest(self) -> Bool[Tensor, "B N"]:
        """The nodes of the last level that any row has reached."""
        depths = array(self.depths)
        return torch.from_numpy((depths == depths.max()) & array(self.nodes))

    def children(self, row: int) -> list[list[int]]:
        """List each node's children in sibling order."""
        children: list[list[int]] = [[] for _ in range(self.tokens.shape[1])]
        for node, parent in enumerate(self.parents[row].tolist()):
            if parent >= 0:
                children[parent].append(node)
        return children

    def path(self, row: int, node: int) -> list[int]:
        """Walk from the root's child down to the node; the root's own path is empty."""
        nodes, parents = [], self.parents[row].tolist()
        while parents[node] >= 0:
            nodes.append(node)
            node = parents[node]
        return nodes[::-1]

    def rows(self, rows: list[int]) -> "Tree":
        """Take the trees of these rows, in this order."""
        if rows == list(range(len(self.tokens))):
            return self
        drawn = None if self.drawn is None else self.drawn[rows]
        probs = None if self.probs is None else self.probs[rows]
        return evolve(
            self,
            tokens=self.tokens[rows],
            parents=self.parents[rows],
            scores=self.scores[rows],
            drawn=drawn,
            probs=probs,
        )

    def place(self, tokens: Int[Tensor, "B M"], parents: Int[Tensor, "B M"], scores: Float[Tensor, "B M"]) -> "Tree":
        """Add placed nodes, padding where a row adds fewer; columns of padding alone are dropped."""
        added = array(tokens), array(parents), array(scores)
        _check_parents(self, *added[:2])
        return self.grown(*added)

    def grown(self, tokens: Array, parents: Array, scores: Array) -> "Tree":
        """Place nodes whose parents need no check, as those have that a drafter was asked about."""
        rows, real = np.arange(len(tokens))[:, None], tokens >= 0
        if not real.all():
            places = listed(real)
            real = places >= 0
            tokens, parents = (np.where(real, part[rows, places], PADDING) for part in (tokens, parents))
            scores = np.where(real, scores[rows, places], 0)
        depths = (array(self.depths)[rows, parents] + 1) * real
        tree = evolve(
            self,
            tokens=_beside(self.tokens, tokens),
            parents=_beside(self.parents, parents),
            scores=_beside(self.scores, scores),
            drawn=_pad(self.drawn, tokens.shape[1]),
            probs=_pad(self.probs, tokens.shape[1]),
        )
        return tree._with_depths(np.concatenate([array(self.depths), depths], 1))

    def draw(self, widths: Int[Tensor, "B N"], probs: Float[Tensor, "B N V"], dice: list[Dice]) -> "Tree":
        """Draw `widths` children under each node from its row of `probs`, without replacement.

        What a node has already drawn from stays its law: `probs` counts only where a node has no drawn
        child yet. Fewer children are drawn when fewer tokens have probability left.
        """
        probs = self._recorded(probs)
        added = [self._draw_row(row, widths[row].tolist(), probs, dice[row]) for row in range(len(dice))]
        count = max(map(len, added))
        filled = [nodes + [(PADDING, PADDING, 0.0)] * (count - len(nodes)) for nodes in added]
        tokens, parents, scores = (
            torch.tensor([[node[part] for node in nodes] for nodes in filled], dtype=dtype).view(len(dice), count)
            for part, dtype in enumerate((torch.int64, torch.int64, torch.float32))
        )
        tree = evolve(self, probs=probs).place(tokens, parents, scores)
        drawn = tree.drawn.clone() if tree.drawn is not None else torch.zeros_like(tree.tokens, dtype=torch.bool)
        drawn[:, self.tokens.shape[1] :] = tokens >= 0
        return evolve(tree, drawn=drawn)

    def proposal(self, row: int, node: int) -> Weights | None:
        """Give the law that a drawn node was drawn from; None for a placed one."""
        if self.drawn is None or self.probs is None or not self.drawn[row, node]:
            return None
        parent = int(self.parents[row, node])
        earlier = [child for child in self.children(row)[parent] if child < node]
        return self._left(self.probs, row, parent, earlier)

    def select(self, keep: Bool[Tensor, "B N"]) -> "Tree":
        """Keep these nodes and the root. If any node is dropped, all that stay are placed, whatever they were."""
        kept, parents = array(keep) & array(self.nodes), array(self.parents)
        kept[:, 0] = True
        rows = np.arange(len(kept))[:, None]
        orphans = kept & (parents >= 0) & ~kept[rows, parents]
        if orphans.any():
            raise TreeError(
                f"expected the parent of every kept node to be kept, got orphans at {np.argwhere(orphans).tolist()}"
            )
        if (kept >= array(self.nodes)).all():
            return self
        places = listed(kept)
        blank, above = places < 0, parents[rows, places]
        renamed = (kept.cumsum(1) - 1)[rows, above]
        tree = Tree(
            torch.from_numpy(np.where(blank, PADDING, array(self.tokens)[rows, places])),
            torch.from_numpy(np.where(blank | (above < 0), PADDING, renamed)),
            torch.from_numpy(np.where(blank, 0, array(self.scores)[rows, places])),
        )
        return tree._with_depths(np.where(blank, 0, array(self.depths)[rows, places]))

    def _with_depths(self, depths: Array) -> "Tree":
        """Keep depths that are known already, so that they need not be counted from the root again."""
        object.__setattr__(self, "depths", torch.from_numpy(depths))
        return self

    def _recorded(self, probs: Float[Tensor, "B N V"]) -> Float[Tensor, "B N V"]:
        """Put back the rows from which a node has already drawn."""
        if self.drawn is None or self.probs is None:
            return probs
        drawn_children = torch.zeros_like(self.parents).scatter_add_(1, self.parents.clamp(min=0), self.drawn.long())
        return torch.where((drawn_children > 0)[..., None], self.probs, probs)

    def _draw_row(
        self, row: int, widths: list[int], probs: Float[Tensor, "B N V"], dice: Dice
    ) -> list[tuple[int, int, float]]:
        added: list[tuple[int, int, float]] = []
        children = self.children(row)
        for parent, width in enumerate(widths):
            if width <= 0:
                continue
            left = self._left(probs, row, parent, children[parent])
            for token in dice.draft(left, width, self.tokens.shape[1] + len(added)):
                score = float(self.scores[row, parent]) + float(probs[row, parent, token].log())
                added.append((token, parent, score))
        return added

    def _left(self, probs: Float[Tensor, "B N V"], row: int, parent: int, earlier: list[int]) -> Weights:
        """What a node's law leaves for its next child, normalised; all zero when nothing is left."""
        left = self._law(probs[row, parent])
        left[self.tokens[row, earlier].numpy()] = 0
        total = left.sum()
        return left / total if total > 0 else left

    def _law(self, probs: Float[Tensor, " V"]) -> Weights:
        """Copy a recorded row into the numbers that rules compute with."""
        law: Weights = probs.numpy().copy()
        return law


def listed(marked: Array) -> Array:
    """List the marked places of each row, padded to the longest list."""
    if len(marked) == 1:
        only: Array = marked[0].nonzero()[0]
        return only[None]
    places = np.full((len(marked), marked.sum(1).max()), PADDING)
    row, place = np.nonzero(marked)
    places[row, (marked.cumsum(1) - 1)[row, place]] = place
    return places


def _check_parents(tree: Tree, tokens: Array, parents: Array) -> None:
    size, real = tree.tokens.shape[1], tokens >= 0
    if (real & (parents >= size)).any():
        raise TreeError(f"expected parents among the tree's {size} nodes, got {parents.max()}")
    above = array(tree.tokens)[np.arange(len(tokens))[:, None], np.where(real, parents, 0)]
    orphans = real & ((above < 0) | (parents < 0))
    if orphans.any():
        raise TreeError(
            f"expected every new node to have a node as parent, got none at {np.argwhere(orphans).tolist()}"
        )


def _beside(values: Tensor, more: Array) -> Tensor:
    return torch.from_numpy(np.concatenate([array(values), more], 1))


def _pad(values: Tensor | None, count: int) -> Tensor | None:
    if values is None:
        return None
    return torch.cat([values, values.new_zeros(len(values), count, *values.shape[2:])], 1)
