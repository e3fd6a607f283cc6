"""Batches of trees with the target's logits, as a rule is given them and as kernels are."""

import numpy as np
import torch
from attrs import frozen
from specdec_cuda.ending import Ending
from specdec_cuda.kernels.race import levels, race
from specdec_cuda.kernels.settle import settle
from specdec_cuda.kernels.walk import walk
from torch import Tensor

from specdec import Keyed, Sampling, Tree
from specdec.chance import Noise
from specdec.pack import pad
from specdec.prefix import Prefix
from specdec.rules import Match
from specdec.sampling import scores

INTS = torch.int32


@frozen
class Batch:
    trees: list[Tree]
    logits: Tensor
    prefixes: list[Prefix]

    @classmethod
    def of(cls, logits: Tensor, samplings: list[Sampling], sizes: list[int], seed: int = 0) -> "Batch":
        """Grow trees of which a good part is what the target will say; the rows have different lengths."""
        prefixes = [prefix(sampling, 1 + 7 * row) for row, sampling in enumerate(samplings)]
        rng = np.random.default_rng(seed)
        trees = [grown(rng, *row) for row in zip(logits, prefixes, sizes, strict=True)]
        return cls(trees, logits[:, : max(sizes)], prefixes)

    def expected(self) -> list[object]:
        """Ask `Match`; an error comes as its type."""
        walks = Match().decide(self.trees, self.logits, self.prefixes)
        return [type(walk) if isinstance(walk, Exception) else walk for walk in walks]

    @property
    def tokens(self) -> Tensor:
        return pad([tree.tokens for tree in self.trees]).to(INTS)

    @property
    def parents(self) -> Tensor:
        return pad([tree.parents for tree in self.trees]).to(INTS)

    @property
    def depth(self) -> int:
        return max(tree.depth for tree in self.trees)

    @property
    def keys(self) -> tuple[Tensor, Tensor, Tensor]:
        """Seeds, temperatures and lengths."""
        samplings = [one.sampling for one in self.prefixes]
        return (
            torch.tensor([signed(one.seed) for one in samplings]),
            torch.tensor([one.temperature for one in samplings], dtype=torch.float32),
            torch.tensor([len(one.tokens) for one in self.prefixes]),
        )

    def race(self, **options: int) -> Tensor:
        order, starts = (torch.tensor(part, dtype=INTS) for part in levels(self.trees))
        return race(self.logits, *self.keys, order, starts, **options)

    def settle(self, winners: Tensor, **options: int) -> None:
        samplings = [one.sampling for one in self.prefixes]
        settle(
            winners,
            self.logits,
            *self.keys,
            pad([tree.depths for tree in self.trees]).to(INTS),
            torch.tensor([one.top_k or self.logits.shape[2] for one in samplings], dtype=INTS),
            torch.tensor([1.0 if one.top_p is None else one.top_p for one in samplings], dtype=torch.float64),
            torch.tensor([one.min_p or 0.0 for one in samplings]),
            **options,
        )

    def walk(self, winners: Tensor, tokens: Tensor | None = None) -> list[Ending]:
        tokens = self.tokens if tokens is None else tokens
        return [Ending(*row) for row in walk(winners, tokens, self.parents).tolist()]


def signed(seed: int) -> int:
    return seed - 2**64 if seed >= 2**63 else seed


def prefix(sampling: Sampling, length: int) -> Prefix:
    return Prefix([0] * length, sampling, Noise(Keyed(), sampling.seed))


def grown(rng: np.random.Generator, logits: Tensor, prefix: Prefix, size: int) -> Tree:
    """Grow a tree of any shape; siblings may be of the same token."""
    tree = Tree.root(0)
    while len(tree) < size:
        parent = int(rng.choice([0, len(tree) - 1, len(tree) - 1, rng.integers(len(tree))]))
        said = choice(logits[parent], prefix, tree.depths[parent])
        token = said if rng.random() < 0.7 else int(rng.integers(len(logits[0])))
        tree = tree.place([(token, parent, 0.0)])
    return tree


def choice(logits: Tensor, prefix: Prefix, depth: int) -> int:
    """Say what the target says after a node, if its logits are usable."""
    row = scores(prefix.sampling, prefix.tokens, logits)
    noise = prefix.dice.scaled_noise([depth], len(row), prefix.sampling.temperature)
    return int((row + torch.from_numpy(noise)[0]).argmax())
