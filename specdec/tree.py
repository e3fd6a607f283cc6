"""Trees of drafted tokens, one per row of a batch.

Shape letters, here and everywhere: `B` rows, `N` nodes, `K` tokens decided in a step, `T` tokens in a
row, `V` vocabulary, `L` layers, `H` heads, `E` hidden size, `D` head size.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.chance import Dice, Probs
from specdec.nodes import PADDING, Arrays, Child, Nodes, array

Place = tuple[int, int]
"""A row and a node."""
Wish = tuple[int, int, Probs]
"""A node, how many children to draw under it, and its law."""


@frozen(eq=False, init=False, slots=False)
class Tree:
    """Guesses at what follows each row: `N` nodes in topological order, node 0 the root.

    The root is the row's last decided token, which the target has not read yet; a row without one takes
    no part. Every other node is *placed* (any token, for any reason) or *drawn* (from its parent's row of
    `probs`, without its earlier siblings). Only `draw` makes drawn nodes, and whatever drops a node
    places the rest: forgetting how a token was found is always lawful.

    Trees live on the CPU: they are small, and it is there that rules walk them.
    """

    lists: Nodes
    """The nodes as plain lists, for what works on them between the models' passes."""
    drawn: Bool[Tensor, "B N"] | None = field(default=None, kw_only=True)
    laws: Mapping[Place, Probs] = field(factory=dict, kw_only=True)
    """What a node's drawn children were drawn from, for each that has any."""

    def __init__(
        self,
        tokens: Int[Tensor, "B N"],
        parents: Int[Tensor, "B N"],
        scores: Float[Tensor, "B N"],
        *,
        drawn: Bool[Tensor, "B N"] | None = None,
        laws: Mapping[Place, Probs] | None = None,
    ) -> None:
        nodes = Nodes.of(tokens.tolist(), parents.tolist(), scores.tolist())
        self.__attrs_init__(nodes, drawn=drawn, laws=laws or {})

    @staticmethod
    def root(tokens: Int[Tensor, " B"]) -> "Tree":
        """Start trees from the last decided tokens; a row of padding takes no part."""
        rows = [[token] for token in tokens.tolist()]
        return Tree.of(Nodes.of(rows, [[PADDING] for _ in rows], [[0.0] for _ in rows]))

    @classmethod
    def of(cls, nodes: Nodes, **found: Any) -> "Tree":
        """Show lists as a tree; `found` says how the nodes were, as `drawn` and `laws`."""
        tree = cls.__new__(cls)
        tree.__attrs_init__(nodes, **found)
        return tree

    @cached_property
    def arrays(self) -> Arrays:
        """The nodes as numpy's arrays."""
        return Arrays(self.lists)

    @cached_property
    def tokens(self) -> Int[Tensor, "B N"]:
        """Tokens, padding where a row has fewer."""
        return torch.from_numpy(self.arrays.tokens)

    @cached_property
    def parents(self) -> Int[Tensor, "B N"]:
        """The node above each; padding for the root."""
        return torch.from_numpy(self.arrays.parents)

    @cached_property
    def scores(self) -> Float[Tensor, "B N"]:
        """Log-probability of the path from the root to each node, as the drafter sees it."""
        return torch.from_numpy(self.arrays.scores)

    @cached_property
    def nodes(self) -> Bool[Tensor, "B N"]:
        """Which places hold a node."""
        return torch.from_numpy(self.arrays.real)

    @cached_property
    def ancestors(self) -> Bool[Tensor, "B N N"]:
        """Whether node m is node n or above it, at [n, m]; padding has only itself."""
        return torch.from_numpy(self.lists.ancestors())

    @cached_property
    def depths(self) -> Int[Tensor, "B N"]:
        """Edges between each node and the root; 0 for padding."""
        return torch.from_numpy(self.arrays.depths)

    @property
    def depth(self) -> int:
        """How many levels any row has reached below its root."""
        return self.lists.depth

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
        children: list[list[int]] = [[] for _ in range(self.lists.size)]
        for node, parent in enumerate(self.lists.parents[row]):
            if parent >= 0:
                children[parent].append(node)
        return children

    def path(self, row: int, node: int) -> list[int]:
        """Walk from the root's child down to the node; the root's own path is empty."""
        nodes, parents = [], self.lists.parents[row]
        while parents[node] >= 0:
            nodes.append(node)
            node = parents[node]
        return nodes[::-1]

    def rows(self, rows: list[int]) -> "Tree":
        """Take the trees of these rows, in this order."""
        if rows == list(range(len(self.lists.tokens))):
            return self
        drawn = None if self.drawn is None else self.drawn[rows]
        laws = {
            (new, node): law for new, old in enumerate(rows) for (row, node), law in self.laws.items() if row == old
        }
        return self.of(self.lists.rows(rows), drawn=drawn, laws=laws)

    def place(self, tokens: Int[Tensor, "B M"], parents: Int[Tensor, "B M"], scores: Float[Tensor, "B M"]) -> "Tree":
        """Add placed nodes, padding where a row adds fewer; columns of padding alone are dropped.

        Raises:
            TreeError: a parent is not in the tree.
        """
        lists = tokens.tolist(), parents.tolist(), scores.tolist()
        added = [list(zip(*row, strict=True)) for row in zip(*lists, strict=True)]
        self.lists.check_parents(added)
        return self.with_placed([[child for child in row if child[0] >= 0] for row in added])

    def draw(self, widths: Int[Tensor, "B N"], probs: Float[Tensor, "B N V"], dice: list[Dice]) -> "Tree":
        """Draw `widths` children under each node from its row of `probs`, without replacement.

        What a node has already drawn from stays its law: `probs` counts only where a node has no drawn
        child yet. Fewer children are drawn when fewer tokens have probability left.
        """
        asked = [
            [(node, width, law) for node, (width, law) in enumerate(zip(*row, strict=True)) if width > 0]
            for row in zip(widths.tolist(), array(probs), strict=True)
        ]
        return self.with_drawn(asked, dice)

    def with_placed(self, added: list[list[Child]]) -> "Tree":
        """Place nodes whose parents need no check, as those have that a drafter was asked about."""
        nodes = self.lists.beside(added)
        if self.drawn is None:
            return self.of(nodes)
        return self.of(nodes, drawn=self._drawn_beside(nodes, [0] * len(added)), laws=self.laws)

    def with_drawn(self, asked: list[list[Wish]], dice: list[Dice]) -> "Tree":
        """Draw children under some nodes, each from its own law, in the order of these nodes in the tree."""
        known = dict(self.laws)
        added = [self._draw_row(row, wishes, known, dice[row]) for row, wishes in enumerate(asked)]
        grown = self.lists.beside(added)
        return self.of(grown, drawn=self._drawn_beside(grown, list(map(len, added))), laws=known)

    def proposal(self, row: int, node: int) -> Probs | None:
        """Give the law that a drawn node was drawn from; None for a placed one."""
        parent = self.lists.parents[row][node]
        law = self.laws.get((row, parent))
        if law is None or self.drawn is None or not self.drawn[row, node]:
            return None
        return self._left(law, row, [child for child in self.children(row)[parent] if child < node])

    def select(self, keep: Bool[Tensor, "B N"]) -> "Tree":
        """Keep these nodes and the root. If any node is dropped, all that stay are placed, whatever they were.

        Raises:
            TreeError: a node would be left without its parent.
        """
        nodes = self.lists.only(keep.tolist())
        return self if nodes is self.lists else self.of(nodes)

    def _drawn_beside(self, grown: Nodes, counts: list[int]) -> Bool[Tensor, "B _"]:
        """Mark the drawn nodes of a grown tree: each row's first new ones, and those that were."""
        drawn = np.zeros((len(counts), grown.size), bool)
        if self.drawn is not None:
            drawn[:, : self.lists.size] = array(self.drawn)
        for row, count in enumerate(counts):
            drawn[row, self.lists.size : self.lists.size + count] = True
        return torch.from_numpy(drawn)

    def _draw_row(self, row: int, asked: list[Wish], known: dict[Place, Probs], dice: Dice) -> list[Child]:
        """Draw children; their laws become known."""
        added, children = list[tuple[int, int]](), self.children(row)
        for node, width, law in sorted(asked, key=lambda wish: wish[0]):
            law = known.get((row, node), law)
            tokens = dice.draft(self._left(law, row, children[node]), width, self.lists.size + len(added))
            if tokens:
                known[row, node] = law
            added += [(token, node) for token in tokens]
        chances = torch.from_numpy(np.array([known[row, node][token] for token, node in added]))
        above = np.array([self.lists.scores[row][node] for _, node in added], np.float32)
        scores = (above + array(chances.log())).astype(np.float32).tolist()
        return [(*pair, score) for pair, score in zip(added, scores, strict=True)]

    def _left(self, law: Probs, row: int, earlier: list[int]) -> Probs:
        """What a node's law leaves for its next child, normalised; all zero when nothing is left."""
        left = self._law(law)
        left[[self.lists.tokens[row][node] for node in earlier]] = 0
        total = left.sum()
        return left / total if total > 0 else left

    def _law(self, law: Probs) -> Probs:
        """Copy a recorded law into the numbers that rules compute with."""
        return law.copy()
