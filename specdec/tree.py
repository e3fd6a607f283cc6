"""The tree of drafted tokens of one sequence.

Shape letters, here and everywhere: `B` sequences of a batch, `R` rows of a tensor, `N` nodes of a tree, `M` nodes
read in one pass, `K` tokens decided in a step, `T` tokens of a sequence, `V` vocabulary, `L` layers, `H` heads,
`E` hidden size, `D` head size.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from math import log

from attrs import evolve, field, frozen

from specdec.chance import Dice, Probs
from specdec.errors import TreeError

Child = tuple[int, int, float]
"""Token, parent and score of a new node."""


@frozen(eq=False, slots=False)
class Tree:
    """Guesses at what follows a sequence. Node 0 is the root, and every other node comes after its parent.

    The root is the last decided token, which the target has not read yet. Every other node is *placed* (any token,
    for any reason) or *drawn* (from its parent's `probs`, without its earlier siblings). Only `draw` makes drawn
    nodes, and `select` places what it keeps: forgetting how a token was found is always lawful.
    """

    tokens: list[int]
    parents: list[int]
    """The node above each; -1 for the root."""
    scores: list[float]
    """Log-probability of the path from the root to each node, as the drafter sees it."""
    depths: list[int]
    """Edges between each node and the root."""
    probs: Mapping[int, Probs] = field(factory=dict)
    """What the drawn children of a node were drawn from, for each node that has any."""
    drawn: frozenset[int] = frozenset()

    @staticmethod
    def root(token: int) -> "Tree":
        """Begin a tree from the last decided token."""
        return Tree([token], [-1], [0.0], [0])

    @staticmethod
    def of(tokens: Sequence[int], parents: Sequence[int]) -> "Tree":
        """Build a tree of placed nodes; parents come before their children, and the root's parent is -1.

        Raises:
            TreeError: a node does not come after its parent.
        """
        if not tokens or len(tokens) != len(parents) or parents[0] != -1:
            raise TreeError(f"expected a root with parent -1 and a parent for each node, got {tokens} and {parents}")
        tree = Tree.root(tokens[0])
        for token, parent in zip(tokens[1:], parents[1:], strict=True):
            tree = tree.place([(token, parent, 0.0)])
        return tree

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def depth(self) -> int:
        """How many levels there are below the root."""
        return max(self.depths)

    @cached_property
    def leaves(self) -> list[int]:
        """The nodes of the last level."""
        return [node for node, depth in enumerate(self.depths) if depth == self.depth]

    @cached_property
    def children(self) -> list[list[int]]:
        """Each node's children, in sibling order."""
        children: list[list[int]] = [[] for _ in self.tokens]
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                children[parent].append(node)
        return children

    @cached_property
    def ancestors(self) -> list[int]:
        """For each node, the bits of a number: bit m is set where node m is the node itself or above it."""
        ancestors: list[int] = []
        for node, parent in enumerate(self.parents):
            ancestors.append(1 << node | (ancestors[parent] if parent >= 0 else 0))
        return ancestors

    def path(self, node: int) -> list[int]:
        """Walk from the root's child down to the node; the root's own path is empty."""
        nodes = []
        while self.parents[node] >= 0:
            nodes.append(node)
            node = self.parents[node]
        return nodes[::-1]

    def follow(self, tokens: Sequence[int]) -> list[int]:
        """Walk down from the root for as long as there are nodes with these tokens; list them."""
        path, node = list[int](), 0
        for token in tokens:
            node = next((child for child in self.children[node] if self.tokens[child] == token), 0)
            if node == 0:
                break
            path.append(node)
        return path

    def below(self, tokens: Sequence[int]) -> "Tree":
        """Give what follows these tokens after the root, all of it placed; without such nodes the last token alone."""
        if not tokens:
            return self
        path = self.follow(tokens)
        if len(path) < len(tokens):
            return Tree.root(tokens[-1])
        nodes = [node for node, above in enumerate(self.ancestors) if above >> path[-1] & 1]
        names = {node: name for name, node in enumerate(nodes)}
        return Tree.of([self.tokens[node] for node in nodes], [-1, *(names[self.parents[node]] for node in nodes[1:])])

    def place(self, children: Sequence[Child]) -> "Tree":
        """Add placed nodes after those that there are.

        Raises:
            TreeError: a parent is not in the tree, or a token is negative.
        """
        if not children:
            return self
        tokens, parents, scores = zip(*children, strict=True)
        if min(parents) < 0 or max(parents) >= len(self):
            raise TreeError(f"expected parents among the tree's {len(self)} nodes, got {sorted(set(parents))}")
        if min(tokens) < 0:
            raise TreeError(f"expected tokens of at least 0, got {min(tokens)}")
        depths = [self.depths[parent] + 1 for parent in parents]
        return evolve(
            self,
            tokens=[*self.tokens, *tokens],
            parents=[*self.parents, *parents],
            scores=[*self.scores, *scores],
            depths=[*self.depths, *depths],
        )

    def draw(self, node: int, width: int, probs: Probs, dice: Dice) -> "Tree":
        """Draw `width` children of a node from `probs`, [V], without its earlier children.

        What a node has already drawn from stays what it draws from: `probs` counts only while it has no drawn child.
        Fewer children are drawn when fewer tokens have probability left.
        """
        probs = self.probs.get(node, probs)
        first = len(self)
        tokens = dice.draft(self._remaining(probs, self.children[node]), width, first)
        score = self.scores[node]
        grown = self.place([(token, node, score + log(probs[token])) for token in tokens])
        drawn = self.drawn.union(range(first, len(grown)))
        return evolve(grown, probs={**self.probs, node: probs}, drawn=drawn) if tokens else self

    def proposal(self, node: int) -> Probs | None:
        """Give the probabilities that a drawn node was drawn with; None for a placed one."""
        if node not in self.drawn:
            return None
        parent = self.parents[node]
        return self._remaining(self.probs[parent], [child for child in self.children[parent] if child < node])

    def select(self, nodes: Collection[int]) -> "Tree":
        """Keep these nodes and the root. If any node is dropped, all that stay are placed, whatever they were.

        Raises:
            TreeError: a node is not in the tree, or would be left without its parent.
        """
        keep = sorted({0, *nodes})
        if len(keep) == len(self) == keep[-1] + 1:
            return self
        if keep[0] < 0 or keep[-1] >= len(self):
            raise TreeError(f"expected nodes of the tree's {len(self)}, got {keep[0] if keep[0] < 0 else keep[-1]}")
        names = {node: name for name, node in enumerate(keep)}
        orphans = [node for node in keep[1:] if self.parents[node] not in names]
        if orphans:
            raise TreeError(f"expected the parent of every kept node to be kept, got orphans {orphans}")
        return Tree(
            [self.tokens[node] for node in keep],
            [-1, *(names[self.parents[node]] for node in keep[1:])],
            [self.scores[node] for node in keep],
            [self.depths[node] for node in keep],
        )

    def _remaining(self, probs: Probs, earlier: Sequence[int]) -> Probs:
        """What is left for a node's next child, normalised; all zero when nothing is."""
        left = probs.copy()
        left[[self.tokens[node] for node in earlier]] = 0
        total = left.sum()
        return left / total if total > 0 else left
