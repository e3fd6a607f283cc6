"""Kernels decide what the rules decide, to the last value of each coin, and so they keep the target's law."""

from fractions import Fraction
from typing import TypeAlias

import numpy as np
import pytest
import torch
from attrs import evolve
from batches import prefix
from edges import COINS, Case, cases, decide
from pretending import gpu
from specdec_cuda.coin_rules import RejectionOnDevice, TraversalOnDevice
from specdec_cuda.jit import Kernel
from specdec_cuda.kernels.rejection import rejection_kernel
from specdec_cuda.kernels.traversal import traversal_kernel
from torch import Tensor

from specdec import Dice, Keyed, Sampling, Tree
from specdec.chance import Noise
from specdec.errors import NonFiniteLogits
from specdec.interfaces import Rule, Walk
from specdec.prefix import Prefix
from specdec.rules import Rejection, Traversal
from specdec.testing import PretendedGPU
from specdec.testing.exhaustive import Exhaustive
from specdec.testing.instances import Instance, Path, path_tokens
from specdec.testing.output import Output, all_trees
from specdec.testing.shapes import Shape, all_shapes

Batch: TypeAlias = tuple[list[Tree], Tensor, list[Prefix]]

__all__ = ["gpu"]

BLOCK = 8
KERNELS = pytest.mark.parametrize(
    ("rule", "kernel"), [(Rejection(), rejection_kernel), (Traversal(), traversal_kernel)]
)
RULES = pytest.mark.parametrize(
    ("rule", "on_device"), [(Rejection(), RejectionOnDevice()), (Traversal(), TraversalOnDevice())]
)


def enumerated(rule: Rule, instance: Instance, shape: Shape) -> list[tuple[Case, float]]:
    """List every tree of a shape with every path of coins through it, and how likely both are."""
    trees = all_trees(instance, lambda of, dice: of.grow(shape, dice))
    return [(case, float(likely * case.probability)) for likely, tree in trees for case in cases(rule, tree, instance)]


@KERNELS
def test_every_path_of_coins_through_small_trees(rule: Rule, kernel: Kernel) -> None:
    """Each coin is the last that comes up true or the first that does not; what is left has the law of the target."""
    shapes = [*all_shapes(2), *list(all_shapes(3, smallest=3))[::5]]
    instances = [(Instance.random(3, seed, exact=False, duplicates=True), shape) for seed, shape in enumerate(shapes)]
    groups = [enumerated(rule, *group) for group in instances]
    batch = [case for group in groups for case, _ in group]

    endings, masses, probs = decide(kernel, batch, block=BLOCK)

    rows = iter(zip(endings.tolist(), masses, probs, strict=True))
    for (instance, shape), group in zip(instances, groups, strict=True):
        decided = list[tuple[float, Path]]()
        for case, likely in group:
            (node, _, failed), mass, left = next(rows)
            assert (case.tree.path(node), failed) == (case.walk.path, 0)
            tokens, last = path_tokens(case.tree, node), left[node] / mass
            decided += [(likely * p / last.sum().item(), (*tokens, token)) for token, p in enumerate(last.tolist())]
        assert Output.of((p, tokens) for p, tokens in decided if p > 0).error(instance.p) < 1e-6, shape


@KERNELS
def test_paths_of_coins_through_larger_trees(rule: Rule, kernel: Kernel) -> None:
    """All of them through a few trees, over a vocabulary that takes three blocks."""
    shapes = [
        Shape((0, 0, 0, 1), (True, True, False, True)),
        Shape((0, 1, 2, 2), (True, False, True, True)),
        Shape((0, 0, 1, 1, 2), (True, False, False, True, True)),
        Shape((0, 0, 0, 0), (True, False, True, False)),
    ]
    batch = []
    for seed, shape in enumerate(2 * shapes):
        instance = Instance.random(20, seed, exact=False, duplicates=True)
        batch += cases(rule, instance.grow(shape, Dice(Keyed(), seed, 0)), instance)

    endings, _, _ = decide(kernel, batch, block=BLOCK)

    expected = [[case.walk.path[-1] if case.walk.path else 0, -1, 0] for case in batch]
    assert endings.tolist() == expected


@KERNELS
def test_coins_at_the_ends(rule: Rule, kernel: Kernel) -> None:
    """A coin of zero accepts whatever is possible and no more; the largest one rejects whatever is not certain."""
    tree = Tree.root(0).place([(1, 0, 0.0), (2, 0, 0.0), (0, 0, 0.0)])
    certain, half = ([np.array(row, np.float32)] * 4 for row in ([0.0, 0.0, 1.0], [0.0, 0.5, 0.5]))
    coins = [dict.fromkeys(range(4), coin) for coin in (0, COINS - 1)]
    batch = [Case(tree, rows, coin, Walk([], 0), Fraction(1)) for rows in (certain, half) for coin in coins]

    endings, _, _ = decide(kernel, batch, block=BLOCK)

    assert endings[:, 0].tolist() == [2, 2, 1, 2]


@KERNELS
def test_rows_that_decide_nothing(rule: Rule, kernel: Kernel) -> None:
    """One where rounding leaves nothing over, one without probabilities after the root, one without a root."""
    q = np.array([0.5, 0.3, 0.2], np.float32)
    tree = Tree.root(0).draw(0, 1, q, Dice(Keyed(), 0, 0))
    p = q.copy()
    p[tree.tokens[1]] -= 3e-8
    rounded = Case(tree, [p] * 2, {1: COINS - 1}, Walk([], 0), Fraction(1))
    absent = evolve(rounded, tree=evolve(tree, tokens=[-1, *tree.tokens[1:]]))
    batch = [rounded, evolve(rounded, rows=[np.full(3, np.nan, np.float32)] * 2), absent]

    endings, _, _ = decide(kernel, batch, block=BLOCK)

    assert endings.tolist() == [[0, -1, 1], [0, -1, 1], [-1, -1, 0]]


SAMPLINGS = [
    Sampling(1.0, seed=2**64 - 1),
    Sampling(0.0, seed=1),
    Sampling(0.7, top_k=9, seed=2),
    Sampling(2.0, repetition_penalty=1.3, seed=3),
]


def drafted(samplings: list[Sampling], sizes: list[int], vocab: int, known: int) -> Batch:
    """Grow trees of placed and drawn nodes that a target often agrees with; the drafter knows the first tokens."""
    random = np.random.default_rng(vocab)
    prefixes = [prefix(sampling, 1 + 7 * row) for row, sampling in enumerate(samplings)]
    logits = torch.full((len(sizes), max(sizes), vocab), torch.nan)
    trees = list[Tree]()
    for row, size in enumerate(sizes):
        tree = Tree.root(0)
        while len(tree) < size:
            parent, q = int(random.choice([0, random.integers(len(tree))])), random.exponential(1, known) ** 3
            drawn = tree.draw(parent, 1, (q / q.sum()).astype(np.float32), Dice(Keyed(), row, 0))
            tree = drawn if random.random() < 0.6 else tree.place([(drawn.tokens[-1], parent, 0.0)])
        trees.append(tree)
        logits[row, :size] = torch.from_numpy(random.normal(0, 1, (size, vocab)))
        for node, parent in enumerate(tree.parents[1:], 1):
            logits[row, parent, tree.tokens[node]] += 3
    return trees, logits, prefixes


@RULES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_are_decided_as_by_the_rule(rule: Rule, on_device: Rule, dtype: torch.dtype) -> None:
    """Trees of all sizes and samplings, by the chance that ships; drafters know 30 tokens of the target's 40."""
    trees, logits, prefixes = drafted(SAMPLINGS, [6, 3, 9, 1], 40, known=30)

    walks = on_device.decide(trees, logits.to(dtype), prefixes)

    assert walks == rule.decide(trees, logits.to(dtype), prefixes)
    assert sum(len(walk.path) for walk in walks) > 0


@RULES
def test_one_small_transfer_comes_down(gpu: PretendedGPU, rule: Rule, on_device: Rule) -> None:
    trees, logits, prefixes = drafted(SAMPLINGS, [6, 3, 9, 1], 40, known=30)
    there = logits.to("cuda")
    gpu.crossings.clear()

    walks = on_device.decide(trees, there, prefixes)

    assert [(one.kind, one.nbytes) for one in gpu.crossings if one.blocks] == [("down", 12 * len(trees))]
    assert walks == rule.decide(trees, logits, prefixes)


@RULES
def test_failures_say_why_and_hurt_no_other_sequence(rule: Rule, on_device: Rule) -> None:
    trees, logits, prefixes = drafted(SAMPLINGS[:3], [3, 3, 3], 12, known=12)
    logits[0, 0, 5], logits[1, 0] = torch.nan, torch.inf

    walks = on_device.decide(trees, logits, prefixes)

    assert [type(walk) for walk in walks] == [NonFiniteLogits, NonFiniteLogits, Walk]
    assert walks[2] == rule.decide(trees, logits, prefixes)[2]
    assert str(walks[0]) == str(rule.decide(trees, logits, prefixes)[0])


@RULES
def test_what_kernels_cannot_do_is_done_on_the_host(
    rule: Rule, on_device: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees, logits, prefixes = drafted(SAMPLINGS[:2], [3, 3], 12, known=12)
    strange = [evolve(prefix, noise=Noise(Exhaustive(), 0)) for prefix in prefixes]
    monkeypatch.setattr("specdec_cuda.coin_rules.pick", None)

    assert on_device.decide(trees, logits.double(), prefixes) == rule.decide(trees, logits.double(), prefixes)
    assert on_device.decide(trees, logits, strange) == rule.decide(trees, logits, strange)
