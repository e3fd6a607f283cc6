"""Small trees on which the kernels of `rejection` and `traversal` decide what these rules decide."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from specdec import Dice, Key, Keyed, Noise, Prefix, Purpose, Rule, Sampling, Tree
from specdec.rules import Rejection, Traversal
from specdec_cuda.drafts import Drafts
from specdec_cuda.ending import Ending
from specdec_cuda.kernels.coins import coins, pick
from specdec_cuda.kernels.rejection import rejection
from specdec_cuda.kernels.traversal import traversal
from specdec_cuda.seeds import signed

SIZE = 700
"""Tokens of the vocabulary."""
SEEDS = (1, 2**64 - 1, 3, 4)
DECIDED = 7
"""Tokens of each sequence."""


def compare_coins(device: torch.device) -> tuple[object, object]:
    """Compare coins with those that `Keyed` tosses: how many of 2^53 are less."""
    seeds = torch.tensor([signed(seed) for seed in SEEDS], device=device)
    tossed = coins(seeds, torch.full_like(seeds, DECIDED), 3).tolist()
    keys = [[Key(seed, DECIDED - 1, Purpose.ACCEPT, node) for node in range(3)] for seed in SEEDS]
    pairs = [pair for row in zip(tossed, keys, strict=True) for pair in zip(*row, strict=True)]
    sides = [(Keyed().coin(float(coin), 2.0**53, key), Keyed().coin(coin + 1.0, 2.0**53, key)) for coin, key in pairs]
    return sides, [(False, True)] * len(pairs)


def compare_rejection(device: torch.device) -> tuple[object, object]:
    """Compare walks."""
    return _walks(rejection, Rejection(), device)


def compare_traversal(device: torch.device) -> tuple[object, object]:
    """Compare walks."""
    return _walks(traversal, Traversal(), device)


def _walks(kernel: Callable[..., tuple[Tensor, Tensor]], rule: Rule, device: torch.device) -> tuple[object, object]:
    prefixes = [Prefix([0] * DECIDED, Sampling(1.0, seed=seed), Noise(Keyed(), seed)) for seed in SEEDS]
    random = np.random.default_rng(0)
    q = (random.exponential(1, SIZE) ** 9).astype(np.float32)
    trees = [_tree(q / q.sum(), prefix.dice) for prefix in prefixes]
    probs = np.stack(
        [[q * (random.exponential(1, SIZE) ** 4).astype(np.float32) for _ in tree.tokens] for tree in trees]
    )
    probs /= probs.sum(-1, keepdims=True)

    drafts = Drafts.of(trees, prefixes, device)
    there = torch.from_numpy(probs.copy()).to(device)
    endings, masses = kernel(there, drafts.proposals, drafts.drawn, drafts.coins, drafts.tokens, drafts.parents)
    pick(there, masses, endings, drafts.seeds, drafts.lengths)

    rows = list(zip(trees, probs, prefixes, endings.tolist(), strict=True))
    walks = [Ending(*row).walk(tree) for tree, _, _, row in rows]
    return walks, [rule.walk(tree, list(map(np.copy, p)).__getitem__, prefix.dice) for tree, p, prefix, _ in rows]


def _tree(q: np.ndarray, dice: Dice) -> Tree:
    """Draw two children and a grandchild, and place another of each."""
    tree = Tree.root(0).draw(0, 2, q, dice).place([(int(q.argmax()), 0, 0.0)])
    return tree.draw(1, 1, q, dice).place([(int(q.argmax()), 1, 0.0)])
