"""Noise has the bits of `Keyed.noise`, on which all sides of a text agree."""

import numpy as np
import torch
from batches import signed
from hypothesis import given, settings
from hypothesis import strategies as st
from specdec_cuda.kernels.noise import noise

from specdec import Key, Keyed, Purpose

SEEDS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**63 - 1, 2**63, 2**64 - 1])


def check(keys: list[tuple[int, int]], temperatures: list[float], size: int) -> None:
    seeds, positions = (torch.tensor(column) for column in zip(*[(signed(one), at) for one, at in keys], strict=True))
    scaled = noise(seeds, positions, torch.tensor(temperatures), size).numpy()
    for (seed, position), temperature, row in zip(keys, temperatures, scaled, strict=True):
        expected = Keyed().noise(Key(seed, position, Purpose.TARGET), size) * np.float32(temperature)
        np.testing.assert_array_equal(row.view(np.int32), expected.view(np.int32))


@given(seed=SEEDS, position=st.integers(0, 2**40), temperature=st.sampled_from([1.0, 0.7, 2.0]))
@settings(max_examples=8)
def test_bits_are_those_of_the_chance(seed: int, position: int, temperature: float) -> None:
    check([(seed, position)], [temperature], 1000)


def test_several_keys_and_blocks() -> None:
    check([(3, 5), (2**64 - 1, 0)], [1.0, 0.3], 1500)
    check([(1, 1)], [1.0], 3)
