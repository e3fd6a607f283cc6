"""Small inputs on which kernels give what their references give."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from attrs import evolve, frozen
from jaxtyping import Float
from torch import Tensor

from specdec import Key, Keyed, Noise, Prefix, Purpose, Rule, Sampling, Tree, pack
from specdec.rules import Match, Rejection, Traversal
from specdec.target import TreePass
from specdec_cuda.drafts import Drafts
from specdec_cuda.ending import Ending
from specdec_cuda.forest import Forest
from specdec_cuda.jit import Kernel
from specdec_cuda.kernels.coins import pick
from specdec_cuda.kernels.kth import kth
from specdec_cuda.kernels.masks import mask
from specdec_cuda.kernels.move import move
from specdec_cuda.kernels.noise import noise
from specdec_cuda.kernels.rejection import rejection_kernel
from specdec_cuda.kernels.residual import decide
from specdec_cuda.kernels.traversal import traversal_kernel
from specdec_cuda.seeds import signed

Comparison = tuple[object, object]
"""What a kernel gives, and what its reference gives."""

SIZE = 700
"""Tokens of the vocabulary."""
TREES = (Tree.of([5, 1, 2, 3, 4, 1], [-1, 0, 0, 1, 1, 3]), Tree.of([9, 7], [-1, 0]))
SAMPLINGS = (Sampling(), Sampling(0.8, seed=2**64 - 1))
CUTTING = [
    evolve(cut, seed=seed)
    for cut in (
        Sampling(1.5, top_k=9),
        Sampling(1.5, top_p=0.6),
        Sampling(1.5, min_p=0.2),
        Sampling(1.5, top_k=20, top_p=0.5),
    )
    for seed in (1, 2)
]
DRAWING = [Sampling(1.0, seed=seed) for seed in range(6)]
FEW = 12
"""Tokens of a vocabulary in which drafts are often right."""
LIKELY = 20.0
"""What is added to the logits of the tree's tokens, so that the walk goes down to the end."""


@frozen(eq=False)
class Batch:
    """Trees with the target's logits, on the host and where kernels run."""

    trees: Sequence[Tree]
    prefixes: list[Prefix]
    logits: Float[Tensor, "R N V"]
    forest: Forest
    there: Float[Tensor, "R N V"]

    @classmethod
    def of(cls, trees: Sequence[Tree], samplings: Sequence[Sampling], device: torch.device) -> "Batch":
        """Make logits of which each node's first child is the likeliest."""
        logits = torch.randn(len(trees), max(map(len, trees)), SIZE, generator=torch.Generator().manual_seed(0))
        for row, tree in enumerate(trees):
            for node, children in enumerate(tree.children):
                if children:
                    logits[row, node, tree.tokens[children[0]]] += LIKELY
        prefixes = [Prefix([0] * 7, sampling, Noise(Keyed(), sampling.seed)) for sampling in samplings]
        return cls(trees, prefixes, logits, Forest.of(trees, prefixes, device), logits.to(device))

    def walks(self, *, settled: bool = False) -> list[object]:
        """Decide by kernels."""
        winners = self.forest.race(self.there)
        if settled:
            self.forest.settle(winners, self.there)
        endings = self.forest.walk(winners).tolist()
        return [Ending(*row).walk(tree) for tree, row in zip(self.trees, endings, strict=True)]

    def references(self) -> list[object]:
        """Decide by `Match`."""
        return [*Match().decide(self.trees, self.logits, self.prefixes)]


def _noise(device: torch.device) -> Comparison:
    keys, scales = [Key(2**64 - 1, 5, Purpose.TARGET), Key(3, 2**33, Purpose.TARGET)], [1.0, 0.3]
    seeds, positions = torch.tensor([[signed(key.seed), key.position] for key in keys], device=device).T.contiguous()
    made = noise(seeds, positions, torch.tensor(scales, device=device), SIZE)
    reference = [Keyed().noise(key, SIZE) * np.float32(scale) for key, scale in zip(keys, scales, strict=True)]
    return made.view(torch.int32).tolist(), np.stack(reference).view(np.int32).tolist()


def _race(device: torch.device) -> Comparison:
    batch = Batch.of(TREES, SAMPLINGS, device)
    keys = batch.forest.race(batch.there).amax(-1).tolist()
    winners, reference = [], []
    for row, (tree, prefix) in enumerate(zip(batch.trees, batch.prefixes, strict=True)):
        scores = batch.logits[row, : len(tree)]
        if prefix.sampling.temperature:
            made = prefix.dice.scaled_noise(tree.depths, SIZE, prefix.sampling.temperature)
            scores = scores + torch.from_numpy(made)
        winners.append([0x7FFFFFFF - (key & 0x7FFFFFFF) for key in keys[row][: len(tree)]])
        reference.append(scores.argmax(-1).tolist())
    return winners, reference


def _walk(device: torch.device) -> Comparison:
    batch = Batch.of(TREES, SAMPLINGS, device)
    return batch.walks(), batch.references()


def _settle(device: torch.device) -> Comparison:
    batch = Batch.of([Tree.root(0)] * len(CUTTING), CUTTING, device)
    return batch.walks(settled=True), batch.references()


def _kth(device: torch.device) -> Comparison:
    numbers = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(1)).bfloat16()
    k = torch.tensor([1, 40, SIZE], dtype=torch.int32)
    reference = [row.topk(int(count)).values[-1].item() for row, count in zip(numbers, k, strict=True)]
    return kth(numbers.to(device), k.to(device)).tolist(), reference


def _move(device: torch.device) -> Comparison:
    start, path, slot = 3, [1, 4, 5], 1
    states = torch.arange(2 * 2 * 2 * 12 * 8, dtype=torch.float32).view(2, 2, 2, 12, 8)
    reference = states.clone()
    for place, node in enumerate(path):
        reference[:, slot, :, start + place] = states[:, slot, :, start + node]
    moved = states.to(device)
    move(moved, *(torch.tensor(part, device=device) for part in ([slot], [start], [path])))
    return moved.tolist(), reference.tolist()


def _masks(device: torch.device) -> Comparison:
    packed, decided, end, window = pack(TREES), [3, 8], 16, 5
    tree = TreePass(decided, packed.depths, packed.ancestors, end)
    there = tree.on(device)
    made = mask(there.visible, there.depths, there.lengths, end, torch.float32, window)
    return made.tolist(), tree.mask(torch.float32, window).tolist()


def _decided(kernel: Kernel, rule: Rule, device: torch.device) -> Comparison:
    """Decide on trees whose nodes were drawn from something near the target's own probabilities."""
    numbers = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(len(DRAWING), 5, FEW, generator=numbers)
    prefixes = [Prefix([0] * 7, sampling, Noise(Keyed(), sampling.seed)) for sampling in DRAWING]
    trees = list[Tree]()
    for prefix, of_row in zip(prefixes, logits, strict=True):
        drafted = (of_row + torch.randn(5, FEW, generator=numbers)).softmax(-1).numpy()
        tree = Tree.root(0)
        for node, width in ((0, 2), (1, 2)):
            tree = tree.draw(node, width, drafted[node], prefix.dice)
        trees.append(tree)
    drafts, probs = Drafts.of(trees, prefixes, device), torch.zeros(logits.shape)
    for row, (tree, prefix) in enumerate(zip(trees, prefixes, strict=True)):
        probs_of = prefix.probs(tree, logits[row])
        for node in range(len(tree)):
            probs[row, node] = torch.from_numpy(probs_of(node))
    there = probs.to(device)
    read = drafts.proposals, drafts.drawn, drafts.coins, drafts.tokens, drafts.parents
    endings, masses = decide(kernel, there, *read)
    pick(there, masses, endings, drafts.seeds, drafts.lengths)
    walks = [Ending(*row).walk(tree) for tree, row in zip(trees, endings.tolist(), strict=True)]
    return walks, rule.decide(trees, logits, prefixes)


COMPARISONS: dict[str, Callable[[torch.device], Comparison]] = {
    "noise": _noise,
    "race": _race,
    "walk": _walk,
    "settle": _settle,
    "kth": _kth,
    "move": _move,
    "masks": _masks,
    "rejection": partial(_decided, rejection_kernel, Rejection()),
    "traversal": partial(_decided, traversal_kernel, Traversal()),
}
"""By the kernels' files; whoever adds a kernel adds its own."""
