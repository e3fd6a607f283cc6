"""Coins and picks are those of `Keyed`, bit for bit."""

import numpy as np
import pytest
import torch
from batches import INTS, signed
from specdec_cuda.kernels.coins import coins, pick

from specdec import Key, Keyed, Purpose

SEEDS = [3, 2**63, 2**64 - 1]
LENGTHS = [1, 2**40, 17]


def test_coins_have_the_bits_of_the_chance() -> None:
    tossed = coins(torch.tensor([signed(seed) for seed in SEEDS]), torch.tensor(LENGTHS), 5).tolist()

    for seed, length, row in zip(SEEDS, LENGTHS, tossed, strict=True):
        for node, coin in enumerate(row):
            key = Key(seed, length - 1, Purpose.ACCEPT, node)
            assert Keyed().coin(float(coin + 1), 2.0**53, key)
            assert not Keyed().coin(float(coin), 2.0**53, key)


@pytest.mark.parametrize("block", [16, 64])
def test_picks_are_those_of_the_chance(block: int) -> None:
    """Among weights that are far apart, all but equal, mostly zero or all but one; none is of a row without a root."""
    size, random = 40, np.random.default_rng(1)
    weights = random.exponential(1, (5, 2, size)) ** 9
    weights[1] = 1 + random.integers(0, 2, (2, size)) * 2**-23
    weights[2] *= random.random((2, size)) < 0.1
    weights[3] = np.arange(size) == 23
    probs = torch.from_numpy(weights).float()
    seeds, lengths, masses = [*SEEDS, 5, 6], [*LENGTHS, 9, 9], [1.0, 0.3, 1e-6, 1e-30, 1.0]
    outcome = torch.tensor([[0, -1, -1, -1, 1, 0]] * 3 + [[0, 1, 7, -1, 2, 0], [-1, -1, -1, -1, 0, 0]], dtype=INTS)
    keys = torch.tensor([signed(seed) for seed in seeds]), torch.tensor(lengths)

    pick(probs, torch.tensor(masses), outcome, *keys, block=block)

    for row, node in enumerate([0, 0, 0, 1]):
        left = probs[row, node].numpy() / np.float32(masses[row])
        expected = Keyed().pick(left, Key(seeds[row], lengths[row] - 1, Purpose.RESIDUAL, node))
        assert outcome[row, 2 + node] == expected
    assert outcome[4].tolist() == [-1, -1, -1, -1, 0, 0]
