"""What kernels do at sizes as they occur, and the bytes that they cannot do without."""

from collections.abc import Callable

import torch
from attrs import frozen

from specdec import Keyed, Noise, Prefix, Sampling, Tree, pack
from specdec.target import TreePass
from specdec_cuda.forest import Forest
from specdec_cuda.kernels.kth import kth
from specdec_cuda.kernels.masks import mask
from specdec_cuda.kernels.move import move
from specdec_cuda.kernels.noise import noise

CHILDREN = 3
"""Of each node, so that 64 nodes make a tree of four levels."""
SAMPLING = Sampling(0.8, top_k=50, top_p=0.9, min_p=0.01)
HEADS, HEAD_SIZE = 8, 128
"""Of keys and values in Llama 3 8B."""


@frozen
class Shape:
    """How much there is to do; numbers are of one type, logits and what is stored alike."""

    batch: int
    nodes: int
    vocabulary: int
    dtype: torch.dtype
    layers: int = 32
    context: int = 512
    """Tokens that are decided."""

    def __str__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        return f"{self.batch} trees of {self.nodes} nodes and {self.vocabulary:,} tokens in {kind}"

    @property
    def logits_nbytes(self) -> int:
        """How many bytes a read of all logits takes."""
        return self.batch * self.nodes * self.vocabulary * self.dtype.itemsize

    @property
    def tree(self) -> Tree:
        """Grow a tree in which each node has the same number of children."""
        parents = [-1, *((node - 1) // CHILDREN for node in range(1, self.nodes))]
        return Tree.of([node % self.vocabulary for node in range(self.nodes)], parents)

    def forest(self, device: torch.device) -> Forest:
        """Lay out one such tree for each row."""
        prefixes = [Prefix([0] * self.context, SAMPLING, Noise(Keyed(), seed)) for seed in range(self.batch)]
        return Forest.of([self.tree] * self.batch, prefixes, device)

    def logits(self, device: torch.device) -> torch.Tensor:
        """Draw logits."""
        return 3 * torch.randn(self.batch, self.nodes, self.vocabulary, dtype=self.dtype, device=device)


@frozen(eq=False)
class Work:
    """One launch, and the bytes that it has to read and write whatever it does in between."""

    launch: Callable[[], object]
    nbytes: int


def _noise(shape: Shape, device: torch.device) -> Work:
    forest, size = shape.forest(device), shape.vocabulary
    keys = forest.seeds, forest.lengths, forest.temperatures
    return Work(lambda: noise(*keys, size), shape.batch * size * 4)


def _race(shape: Shape, device: torch.device) -> Work:
    forest, logits = shape.forest(device), shape.logits(device)
    return Work(lambda: forest.race(logits), shape.logits_nbytes + forest.race(logits).nbytes)


def _walk(shape: Shape, device: torch.device) -> Work:
    forest, logits = shape.forest(device), shape.logits(device)
    winners = forest.race(logits)
    read = winners[:, 0].nbytes + forest.tokens.nbytes + forest.parents.nbytes
    return Work(lambda: forest.walk(winners), read + forest.walk(winners).nbytes)


def _settle(shape: Shape, device: torch.device) -> Work:
    """Settle what the race left, a copy of its winners each time, which counts too."""
    forest, logits = shape.forest(device), shape.logits(device)
    winners = forest.race(logits)
    return Work(lambda: forest.settle(winners.clone(), logits), shape.logits_nbytes + 2 * winners.nbytes)


def _kth(shape: Shape, device: torch.device) -> Work:
    numbers = shape.logits(device)[:, 0].contiguous()
    k = torch.full((shape.batch,), 50, dtype=torch.int32, device=device)
    return Work(lambda: kth(numbers, k), numbers.nbytes)


def _move(shape: Shape, device: torch.device) -> Work:
    """Move the path of every other node, at most four of them."""
    columns = shape.context + shape.nodes
    states = torch.zeros(2 * shape.layers, shape.batch, HEADS, columns, HEAD_SIZE, dtype=shape.dtype, device=device)
    path = list(range(1, min(shape.nodes, 9) - 1, 2))
    slots, starts = torch.arange(shape.batch, device=device), torch.full((shape.batch,), shape.context, device=device)
    paths = torch.tensor([path] * shape.batch, device=device)
    return Work(lambda: move(states, slots, starts, paths), 2 * len(path) * states[:, :, :, 0].nbytes)


def _masks(shape: Shape, device: torch.device) -> Work:
    packed = pack([shape.tree] * shape.batch)
    tree = TreePass([shape.context - 1] * shape.batch, packed.depths, packed.ancestors).on(device)
    parts = tree.visible, tree.depths, tree.lengths
    made = shape.batch * shape.nodes * tree.end * shape.dtype.itemsize
    return Work(lambda: mask(*parts, tree.end, shape.dtype), made + sum(part.nbytes for part in parts))


WORKS: dict[str, Callable[[Shape, torch.device], Work]] = {
    "noise": _noise,
    "race": _race,
    "walk": _walk,
    "settle": _settle,
    "kth": _kth,
    "move": _move,
    "masks": _masks,
}
"""By the kernels' files. Those of `rejection` and `traversal` are left out: they change what they read."""
