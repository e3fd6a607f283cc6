"""Where trees grow: the nodes whose children are wanted, and what the drafter says of them."""

from collections.abc import Callable
from functools import cached_property

import torch
from attrs import define, field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad as pad_columns

from specdec.pack import PADDING, pad
from specdec.transfer import upload
from specdec.tree import Tree


@frozen(eq=False, slots=False)
class Frontier:
    """Nodes that a drafter is to score: a row for each sequence that is not done, padded where it has fewer nodes.

    A node is read once. A drafter that keeps what it computed finds a node's ancestors by their columns: the places
    of the nodes of all frontiers so far, in their order.
    """

    sequences: list[int]
    """The numbers of these sequences in the batch."""
    trees: list[Tree]
    nodes: list[list[int]]
    before: "Frontier | None" = None
    """The frontier that was read before this one."""

    @cached_property
    def tokens(self) -> Int[Tensor, "R M"]:
        """Their tokens; padding repeats the root's, which does no harm to a model that reads it."""
        return self._numbers[0]

    @cached_property
    def depths(self) -> Int[Tensor, "R M"]:
        """Edges between each and its root; 0 for padding."""
        return self._numbers[1]

    @cached_property
    def above(self) -> Int[Tensor, "R M"]:
        """The column of each node's parent; 0 for roots and padding."""
        return self._numbers[2]

    @cached_property
    def read_depths(self) -> Int[Tensor, "R C"]:
        """Edges between all nodes read so far, these included, and their roots."""
        return self.depths if self.before is None else torch.cat([self.before.read_depths, self.depths], 1)

    @cached_property
    def visible(self) -> Bool[Tensor, "R M C"]:
        """Which of the nodes read so far each may attend to: itself and those above; padding sees its root too."""
        own = torch.eye(self.end - self.start, dtype=torch.bool).expand(len(self.nodes), -1, -1)
        if self.before is None:
            return own
        rows = torch.arange(len(self.nodes))[:, None]
        return torch.cat([self.before._lineages[rows, self.above], own], -1)

    @cached_property
    def read(self) -> list[list[int]]:
        """All nodes read so far, these included, by column; padding where a row had fewer."""
        padded = [[*nodes, *[PADDING] * (self.end - self.start - len(nodes))] for nodes in self.nodes]
        return padded if self.before is None else [a + b for a, b in zip(self.before.read, padded, strict=True)]

    @cached_property
    def start(self) -> int:
        """How many columns were read before."""
        return 0 if self.before is None else self.before.end

    @cached_property
    def end(self) -> int:
        """How many columns are read, these included."""
        return self.start + max(map(len, self.nodes))

    @cached_property
    def columns(self) -> list[dict[int, int]]:
        """The column of each node read so far."""
        before = [{}] * len(self.nodes) if self.before is None else self.before.columns
        return [
            {**old, **{node: column for column, node in enumerate(nodes, self.start)}}
            for old, nodes in zip(before, self.nodes, strict=True)
        ]

    @cached_property
    def _numbers(self) -> Int[Tensor, "3 R M"]:
        """Tokens, depths and parents' columns, made into a tensor at once."""
        rows, width = list[list[int]](), self.end - self.start
        for tree, nodes in zip(self.trees, self.nodes, strict=True):
            rows.append([tree.tokens[node] for node in nodes] + tree.tokens[:1] * (width - len(nodes)))
        for tree, nodes in zip(self.trees, self.nodes, strict=True):
            rows.append([tree.depths[node] for node in nodes])
        for tree, nodes, columns in zip(self.trees, self.nodes, self.columns, strict=True):
            rows.append([columns.get(tree.parents[node], 0) for node in nodes])
        return pad(rows, 0).view(3, len(self.nodes), -1)

    @cached_property
    def _lineages(self) -> Bool[Tensor, "R C C"]:
        """What each of the nodes read so far sees of them."""
        if self.before is None:
            return self.visible
        return torch.cat([pad_columns(self.before._lineages, (0, self.end - self.start)), self.visible], 1)


Score = Callable[[Frontier], Float[Tensor, "R M V"]]
"""Logits of what follows each node of a frontier; minus infinity marks what is not to be drafted."""


@define
class Scores:
    """Asks the drafter about each node once, and remembers what it said."""

    score: Score
    sequences: list[int]
    frontier: Frontier | None = None
    _logits: list[Float[Tensor, "R M V"]] = field(factory=list)

    def __call__(self, trees: list[Tree], nodes: list[list[int]]) -> Float[Tensor, "R M V"]:
        """Give the drafter's logits after these nodes, in at least single precision."""
        known = [{}] * len(nodes) if self.frontier is None else self.frontier.columns
        new = [[node for node in row if node not in old] for row, old in zip(nodes, known, strict=True)]
        if any(new):
            self.frontier = Frontier(self.sequences, trees, new, self.frontier)
            logits = self.score(self.frontier).detach()
            self._logits.append(logits if logits.dtype == torch.float64 else logits.float())
        if new == nodes or self.frontier is None:
            return self._logits[-1]
        columns = [[old[node] for node in row] for row, old in zip(nodes, self.frontier.columns, strict=True)]
        logits = torch.cat(self._logits, 1)
        places = upload(logits.device, torch.arange(len(nodes))[:, None], pad(columns, 0))
        return logits[places[0], places[1]]
