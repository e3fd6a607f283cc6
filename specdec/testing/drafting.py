"""Trees as the shipped loop grows them, from the probabilities of a small instance."""

from collections.abc import Mapping
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from specdec.chance import Chance, Noise
from specdec.context import Context, Step
from specdec.frontier import Frontier, Score
from specdec.grow import grow
from specdec.interfaces import TreePolicy
from specdec.options import Sampling
from specdec.testing.exhaustive import enumerate_outcomes
from specdec.testing.instances import Instance, path_tokens
from specdec.testing.output import Forest
from specdec.tree import Tree


def draft(
    instance: Instance,
    policy: TreePolicy,
    chance: Chance,
    rooms: Mapping[int, int],
    temperature: float = 1,
) -> list[Tree]:
    """Grow a tree for a sequence of each seed, whose only token is the root; `rooms` has the most levels of each."""
    count = len(rooms)
    context = Context(
        tokens=[[0] for _ in rooms],
        limits=[depth + 2 for depth in rooms.values()],
        done=[False] * count,
        sampling=tuple(Sampling(temperature=temperature, seed=seed) for seed in rooms),
        step=Step([[]] * count, [0] * count),
        noise=tuple(Noise(chance, seed) for seed in rooms),
    )
    return [tree for tree in grow(context, policy, score(instance)) if tree is not None]


def drafts(instance: Instance, policy: TreePolicy, depth: int, most: int) -> Forest:
    """Walk all trees that a policy grows at temperature 1; one more than `most` if there are more."""
    return list(islice(enumerate_outcomes(lambda chance: draft(instance, policy, chance, {0: depth})[0]), most + 1))


def score(instance: Instance) -> Score:
    """Score as the instance's drafter; what it never drafts is at minus infinity."""

    def logits(frontier: Frontier) -> Float[Tensor, "R M V"]:
        counts = torch.ones(*frontier.tokens.shape, instance.vocab, dtype=torch.float64)
        for row, (tree, nodes) in enumerate(zip(frontier.trees, frontier.nodes, strict=True)):
            for place, node in enumerate(nodes):
                counts[row, place] = torch.tensor(instance.draft(path_tokens(tree, node)))
        return counts.log()

    return logits
