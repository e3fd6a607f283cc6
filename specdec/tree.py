"""Trees of drafted tokens, one per row of a batch.

Shape letters, here and everywhere: `B` rows, `N` nodes, `K` tokens decided in a step, `T` tokens in a
row, `V` vocabulary, `L` layers, `H` heads, `E` hidden size, `D` head size.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from attrs import evolve, field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.chance import Dice, Weights
from specdec.nodes import Array, Nodes, array, at, depths, listed, rectangle

Place = tuple[int, int]
"""A row and a node."""


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
    laws: Mapping[Place, Weights] = field(factory=dict, kw_only=True)
    """What a node's drawn children were drawn from, for each that has any."""

    @staticmethod
    def root(tokens: Int[Tensor, " B"]) -> "Tree":
        """Start trees from the last decided tokens; a row of padding takes no part."""
        return Tree._of(Nodes.roots(array(tokens.cpu())))

    @cached_property
    def arrays(self) -> Nodes:
        """The nodes as numpy's arrays, for what works on them between the models' passes."""
        parents = array(self.parents)
        return Nodes(array(self.tokens), parents, array(self.scores), depths(parents))

    @cached_property
    def nodes(self) -> Bool[Tensor, "B N"]:
        """Which places hold a node."""
        return torch.from_numpy(self.arrays.real)

    @cached_property
    def ancestors(self) -> Bool[Tensor, "B N N"]:
        """Whether node m is node n or above it, at [n, m]; padding has only itself."""
        return torch.from_numpy(self.arrays.ancestors())

    @cached_property
    def depths(self) -> Int[Tensor, "B N"]:
        """Edges between each node and the root; 0 for padding."""
        return torch.from_numpy(self.arrays.depths)

    @cached_property
    def deepest(self) -> Bool[Tensor, "B N"]:
        """The nodes of the last level that any row has reached."""
        return torch.from_numpy(self.arrays.deepest)

    @property
    def probs(self) -> Float[Tensor, "B N V"] | None:
        """The laws as rows of a tensor, zero where none was drawn from; None where nothing is drawn."""
        if not self.laws:
            return None
        some = torch.from_numpy(next(iter(self.laws.values())))
        probs = some.new_zeros(*self.tokens.shape, len(some))
        for place, law in self.laws.items():
            probs[place] = torch.from_numpy(law)
        return probs

    def children(self, row: int) -> list[list[int]]:
        """List each node's children in sibling order."""
        children: list[list[int]] = [[] for _ in range(self.tokens.shape[1])]
        for node, parent in enumerate(self.arrays.parents[row].tolist()):
            if parent >= 0:
                children[parent].append(node)
        return children

    def path(self, row: int, node: int) -> list[int]:
        """Walk from the root's child down to the node; the root's own path is empty."""
        nodes, parents = [], self.arrays.parents[row].tolist()
        while parents[node] >= 0:
            nodes.append(node)
            node = parents[node]
        return nodes[::-1]

    def rows(self, rows: list[int]) -> "Tree":
        """Take the trees of these rows, in this order."""
        if rows == list(range(len(self.tokens))):
            return self
        drawn = None if self.drawn is None else self.drawn[rows]
        laws = {
            (new, node): law for new, old in enumerate(rows) for (row, node), law in self.laws.items() if row == old
        }
        tokens, parents, scores = self.tokens[rows], self.parents[rows], self.scores[rows]
        return evolve(self, tokens=tokens, parents=parents, scores=scores, drawn=drawn, laws=laws)

    def place(self, tokens: Int[Tensor, "B M"], parents: Int[Tensor, "B M"], scores: Float[Tensor, "B M"]) -> "Tree":
        """Add placed nodes, padding where a row adds fewer; columns of padding alone are dropped.

        Raises:
            TreeError: a parent is not in the tree.
        """
        self.arrays.check_parents(array(tokens), array(parents))
        return self.with_placed(array(tokens), array(parents), array(scores))

    def draw(self, widths: Int[Tensor, "B N"], probs: Float[Tensor, "B N V"], dice: list[Dice]) -> "Tree":
        """Draw `widths` children under each node from its row of `probs`, without replacement.

        What a node has already drawn from stays its law: `probs` counts only where a node has no drawn
        child yet. Fewer children are drawn when fewer tokens have probability left.
        """
        nodes = listed(array(widths) > 0)
        laws = array(probs)[np.arange(len(nodes))[:, None], nodes]
        return self.with_drawn(nodes, at(array(widths), nodes, 0), laws, dice)

    def with_placed(self, tokens: Int[Array, "B M"], parents: Int[Array, "B M"], scores: Float[Array, "B M"]) -> "Tree":
        """Place nodes whose parents need no check, as those have that a drafter was asked about."""
        nodes = self.arrays.beside(tokens, parents, scores)
        if self.drawn is None:
            return self._of(nodes)
        added = np.zeros((len(tokens), nodes.tokens.shape[1] - self.tokens.shape[1]), bool)
        return self._of(nodes, drawn=self._drawn_beside(added), laws=self.laws)

    def with_drawn(
        self, nodes: Int[Array, "B M"], widths: Int[Array, "B M"], laws: Float[Array, "B M V"], dice: list[Dice]
    ) -> "Tree":
        """Draw `widths` children under some nodes, each from its own law, in the order of these nodes in the tree."""
        known = dict(self.laws)
        added = [self._draw_row(row, nodes[row], widths[row], laws[row], known, dice[row]) for row in range(len(dice))]
        tokens, parents = (rectangle([[pair[part] for pair in pairs] for pairs in added]) for part in range(2))
        chances = [[known[row, node][token] for token, node in pairs] for row, pairs in enumerate(added)]
        gains = array(torch.from_numpy(rectangle(chances, laws.dtype.type(1))).log())
        scores = (at(self.arrays.scores, parents, 0) + gains).astype(np.float32)
        drawn = self._drawn_beside(tokens >= 0)
        return self._of(self.arrays.beside(tokens, parents, scores), drawn=drawn, laws=known)

    def proposal(self, row: int, node: int) -> Weights | None:
        """Give the law that a drawn node was drawn from; None for a placed one."""
        parent = int(self.arrays.parents[row, node])
        law = self.laws.get((row, parent))
        if law is None or self.drawn is None or not self.drawn[row, node]:
            return None
        return self._left(law, row, [child for child in self.children(row)[parent] if child < node])

    def select(self, keep: Bool[Tensor, "B N"]) -> "Tree":
        """Keep these nodes and the root. If any node is dropped, all that stay are placed, whatever they were.

        Raises:
            TreeError: a node would be left without its parent.
        """
        kept = array(keep) & self.arrays.real
        kept[:, 0] = True
        nodes = self.arrays.only(kept)
        return self if nodes is self.arrays else self._of(nodes)

    @classmethod
    def _of(cls, nodes: Nodes, **found: Any) -> "Tree":
        """Show arrays as a tree."""
        tree = cls(*map(torch.from_numpy, (nodes.tokens, nodes.parents, nodes.scores)), **found)
        object.__setattr__(tree, "arrays", nodes)
        return tree

    def _drawn_beside(self, added: Bool[Array, "B M"]) -> Bool[Tensor, "B _"]:
        before = np.zeros(self.tokens.shape, bool) if self.drawn is None else array(self.drawn)
        return torch.from_numpy(np.concatenate([before, added], 1))

    def _draw_row(
        self, row: int, nodes: Array, widths: Array, laws: Array, known: dict[Place, Weights], dice: Dice
    ) -> list[tuple[int, int]]:
        """Draw tokens, each given with its parent; their laws become known."""
        added, children = list[tuple[int, int]](), self.children(row)
        for index in nodes.argsort().tolist():
            node, width = int(nodes[index]), int(widths[index])
            if width <= 0:
                continue
            law = known.get((row, node), laws[index])
            left = self._left(law, row, children[node])
            tokens = dice.draft(left, width, self.tokens.shape[1] + len(added))
            if tokens:
                known[row, node] = law
            added += [(token, node) for token in tokens]
        return added

    def _left(self, law: Weights, row: int, earlier: list[int]) -> Weights:
        """What a node's law leaves for its next child, normalised; all zero when nothing is left."""
        left = self._law(law)
        left[self.arrays.tokens[row, earlier]] = 0
        total = left.sum()
        return left / total if total > 0 else left

    def _law(self, law: Weights) -> Weights:
        """Copy a recorded law into the numbers that rules compute with."""
        return law.copy()
