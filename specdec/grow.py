"""The loop that policies shape and drafters feed."""

from collections.abc import Callable

import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.data import Context
from specdec.interfaces import TreePolicy
from specdec.tree import PADDING, Tree


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
    tree, reader = Tree.root(context.roots), _Reader(context, score)
    while True:
        widths = _within(context, tree, policy.widths(tree))
        if not bool(widths.any()):
            return tree, tree.select(policy.keep(tree))
        reader.read(tree, widths)
        before = tree.tokens.shape[1]
        tree = reader.draw(tree, widths, policy.draws) if policy.sampled and reader.warm else reader.place(tree, widths)
        if tree.tokens.shape[1] == before:  # nothing can be added: the vocabulary is used up
            return tree, tree.select(policy.keep(tree))


def _within(context: Context, tree: Tree, widths: Int[Tensor, "B N"]) -> Int[Tensor, "B N"]:
    """Drop what is asked of padding, and of nodes so deep that the row would be full."""
    useful = tree.nodes & (tree.depths < context.room[:, None])
    return widths.masked_fill(~useful, 0)


class _Reader:
    """Asks the drafter about each node at most once, and picks children by its answers."""

    def __init__(self, context: Context, score: Score) -> None:
        self.context, self.score = context, score
        self.temperatures = torch.tensor([sampling.temperature for sampling in context.sampling])
        self.warm = bool((self.temperatures > 0).any())
        self.columns = torch.empty(len(context.sampling), 0, dtype=torch.int64)  # of each node, in reading order
        self.visible = torch.empty(len(context.sampling), 0, 0, dtype=torch.bool)  # [B, C, C], of each node read
        self.logits: Tensor | None = None  # [B, C, V], a row for each node read

    def read(self, tree: Tree, widths: Int[Tensor, "B N"]) -> None:
        """Have the nodes scored that grow now and were not before."""
        unread = torch.nn.functional.pad(self.columns, (0, tree.tokens.shape[1] - self.columns.shape[1]), value=PADDING)
        new = (widths > 0) & (unread < 0)
        if not bool(new.any()):
            return
        start = 0 if self.logits is None else self.logits.shape[1]
        self.columns = torch.where(new, new.cumsum(1) - 1 + start, unread)
        logits = self.score(tree, self._frontier(tree, new))
        self.logits = logits if self.logits is None else torch.cat([self.logits, logits], 1)

    def place(self, tree: Tree, widths: Int[Tensor, "B N"]) -> Tree:
        """Place the most promising children that each node does not have yet."""
        return tree.place(*self._promising(tree, widths, noisy=True))

    def draw(self, tree: Tree, widths: Int[Tensor, "B N"], draws: int | None) -> Tree:
        """Draw children where the row is sampled, `draws` at most, and place the likeliest for the rest."""
        sampled = (self.temperatures > 0)[:, None]
        drawn = widths.masked_fill(~sampled, 0)
        drawn = drawn if draws is None else drawn.clamp(max=draws)
        probs = self._probs(tree, widths)
        if not bool((widths > drawn).any()):
            return tree.draw(drawn, probs, self.context.dice)
        likeliest = self._promising(tree, widths - drawn, noisy=False)
        row, index = (likeliest[0] >= 0).nonzero(as_tuple=True)
        probs[row, likeliest[1][row, index], likeliest[0][row, index]] = 0
        return tree.draw(drawn, probs, self.context.dice).place(*likeliest)

    def _probs(self, tree: Tree, widths: Int[Tensor, "B N"]) -> Float[Tensor, "B N V"]:
        """Give the drafter's law at the nodes that grow; all zero where it has nothing to draft."""
        nodes = torch.arange(tree.tokens.shape[1]).expand_as(tree.tokens).masked_fill(widths <= 0, PADDING)
        divisor = self.temperatures.masked_fill(self.temperatures == 0, 1.0)[:, None, None]
        return (_precise(self._rows(nodes)).cpu() / divisor).softmax(-1).nan_to_num(0.0)

    def _promising(self, tree: Tree, widths: Int[Tensor, "B N"], noisy: bool) -> tuple[Tensor, Tensor, Tensor]:
        """List the best children that each node does not have yet: tokens, parents and scores."""
        nodes = _listed(widths > 0)
        asked = widths.gather(1, nodes.clamp(min=0)).masked_fill(nodes < 0, 0)
        log_q = self._rank(tree, nodes, noisy)
        for row, children in enumerate(nodes.tolist()):
            for index, siblings in enumerate(self._siblings(tree, row, children)):
                log_q[row, index, siblings] = -torch.inf
        scores, tokens = log_q.topk(min(int(asked.max()), log_q.shape[-1]))
        scores, tokens = scores.float().cpu(), tokens.cpu()
        wanted = (torch.arange(tokens.shape[-1]) < asked[..., None]) & (scores > -torch.inf)
        above = tree.scores.gather(1, nodes.clamp(min=0))[..., None]
        parents = nodes[..., None].expand_as(tokens)
        return (
            tokens.masked_fill(~wanted, PADDING).flatten(1),
            parents.masked_fill(~wanted, PADDING).flatten(1),
            (above + scores).masked_fill(~wanted, 0.0).flatten(1),
        )

    def _frontier(self, tree: Tree, new: Bool[Tensor, "B N"]) -> Frontier:
        """List the nodes to be scored; each sees itself, and what its parent, which was read before, has seen."""
        nodes = _listed(new)
        picked = nodes.clamp(min=0)
        itself = torch.eye(nodes.shape[1], dtype=torch.bool).expand(len(nodes), -1, -1)  # padding too
        above = self.columns.gather(1, tree.parents.gather(1, picked).clamp(min=0))
        above = above.masked_fill(nodes <= 0, PADDING)
        visible = torch.cat([self._seen(above), itself], 2)
        grown = torch.nn.functional.pad(self.visible, (0, nodes.shape[1]))
        self.visible = torch.cat([grown, visible], 1)
        return Frontier(
            nodes,
            tree.tokens.gather(1, picked).masked_fill(nodes < 0, PADDING),
            tree.depths.gather(1, picked).masked_fill(nodes < 0, 0),
            visible,
        )

    def _seen(self, columns: Int[Tensor, "B M"]) -> Bool[Tensor, "B M C"]:
        """What these of the nodes read see; nothing for padding."""
        if self.visible.shape[1] == 0:
            return torch.zeros(*columns.shape, 0, dtype=torch.bool)
        rows = torch.arange(len(columns))[:, None]
        return self.visible[rows, columns.clamp(min=0)] & (columns >= 0)[..., None]

    def _rows(self, nodes: Int[Tensor, "B M"]) -> Float[Tensor, "B M V"]:
        if self.logits is None:
            raise RuntimeError("rows are read before they are used")
        columns = self.columns.gather(1, nodes.clamp(min=0)).clamp(min=0).to(self.logits.device)
        return self.logits[torch.arange(len(nodes), device=self.logits.device)[:, None], columns]

    def _rank(self, tree: Tree, nodes: Int[Tensor, "B M"], noisy: bool) -> Float[Tensor, "B M V"]:
        """Log-probabilities of children, once the target's noise is known if they are to be `noisy`."""
        logits = _precise(self._rows(nodes))
        depths = tree.depths.gather(1, nodes.clamp(min=0)).tolist()
        for row, temperature in enumerate(self.temperatures.tolist()):
            for index, depth in enumerate(depths[row] if noisy and temperature > 0 else []):
                noise = self.context.dice[row].noise(depth, logits.shape[-1])
                if noise is not None:
                    logits[row, index] += temperature * torch.from_numpy(noise).to(logits)
        return logits.log_softmax(-1)

    @staticmethod
    def _siblings(tree: Tree, row: int, parents: list[int]) -> list[list[int]]:
        """Tokens that are children of these nodes already."""
        above = tree.parents[row]
        return [tree.tokens[row, above == parent].tolist() if parent >= 0 else [] for parent in parents]


def _listed(marked: Bool[Tensor, "B N"]) -> Int[Tensor, "B M"]:
    """List the marked nodes of each row, padded to the longest list."""
    order = (~marked).to(torch.int8).argsort(dim=1, stable=True)[:, : int(marked.sum(1).max())]
    return order.masked_fill(~marked.gather(1, order), PADDING)


def _precise(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return logits if logits.dtype == torch.float64 else logits.float()
