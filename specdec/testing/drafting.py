"""Trees as the shipped loop grows them, from the laws of a small instance."""

import torch
from jaxtyping import Float
from torch import Tensor

from specdec.chance import Chance
from specdec.context import Context, Step
from specdec.grow import Frontier, Score, grow
from specdec.interfaces import TreePolicy
from specdec.nodes import PADDING
from specdec.options import Sampling
from specdec.testing.instances import Instance, path_tokens
from specdec.tree import Tree


def draft(instance: Instance, policy: TreePolicy, chance: Chance, depth: int, temperature: int | float = 1) -> Tree:
    """Grow a tree of at most `depth` levels below the root, which is at position 0 of a row with seed 0."""
    return grow(context(chance, depth, temperature), policy, score(instance))


def context(chance: Chance, depth: int, temperature: int | float = 1, rows: int = 1) -> Context:
    """Begin rows of one token each, seeded 0, 1, ..., with room for so many levels."""
    start, nothing = torch.zeros(rows, 1, dtype=torch.int64), torch.zeros(rows, dtype=torch.int64)
    return Context(
        tokens=start,
        lengths=nothing + 1,
        limits=nothing + depth + 2,
        done=torch.zeros(rows, dtype=torch.bool),
        sampling=Sampling(temperature=temperature).spread(rows),
        step=Step(start[:, 1:], nothing, nothing),
        chance=chance,
    )


def score(instance: Instance) -> Score:
    """Score as the instance's drafter; what it never drafts is at minus infinity."""

    def logits(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
        nodes = frontier.nodes.masked_fill(frontier.nodes == PADDING, 0).tolist()
        laws = [[instance.draft(path_tokens(tree, row, node)) for node in marked] for row, marked in enumerate(nodes)]
        return torch.tensor(laws, dtype=torch.float64).log()

    return logits
