"""Noise in the same bits on every machine, and close to the logarithms that it stands for."""

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdec import Key, Keyed, Purpose, canonical

KNOWN = {  # word: bits of E, bits of G
    0x00000000: (0x2F000000, 0x41B6FDA9),
    0x00000001: (0x2FC00000, 0x41AE33B3),
    0x00000002: (0x30200000, 0x41AA1D88),
    0x00800000: (0x3B00200B, 0x40C79859),
    0x01000001: (0x3B80402B, 0x40B16211),
    0x20000000: (0x3E08BC74, 0x4000DBDA),
    0x4B000000: (0x3EB18018, 0x3F8798D8),
    0x80000000: (0x3F317218, 0x3EBBA795),
    0xC0000000: (0x3FB17218, 0xBEA73C9B),
    0xFFFFFEFF: (0x41851592, 0xC033F049),
    0xFFFFFFFF: (0x41851592, 0xC033F049),
}
DIGESTS = {  # of the noise of a large vocabulary
    Key(1, 2, Purpose.TARGET): "420f00f47a00a861e081f222c13ea57d11b190efcc42c934a3a98e5ab474bd43",
    Key(2**64 - 1, 2**20, Purpose.DRAFT, 3): "0663c10de08b79260d8a09d34018573737798b29bbbeb3fffea47393386eb18c",
}
DIGEST = """
import sys, types
package = types.ModuleType("specdec")  # without what it imports
package.__path__ = [sys.argv[1]]
sys.modules["specdec"] = package

import hashlib
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from specdec.chance import Key, Keyed, Purpose

assert not any(__cpu_features__[feature] for feature in __cpu_dispatch__)
for key in (Key(1, 2, Purpose.TARGET), Key(2**64 - 1, 2**20, Purpose.DRAFT, 3)):
    print(hashlib.sha256(Keyed().noise(key, 151_936).astype("<f4").tobytes()).hexdigest())
"""
WORDS = st.integers(0, 2**32 - 1)


def bits(noise: np.ndarray) -> list[int]:
    numbers: list[int] = noise.view(np.uint32).tolist()
    return numbers


def test_words_have_the_known_noise() -> None:
    words = np.array(list(KNOWN), np.uint32)

    assert list(zip(bits(canonical.exponentials(words)), bits(canonical.gumbels(words)), strict=True)) == [
        *KNOWN.values()
    ]


@pytest.mark.parametrize("key", DIGESTS)
def test_noise_of_a_large_vocabulary_has_the_known_bits(key: Key) -> None:
    noise = Keyed().noise(key, 151_936)

    assert hashlib.sha256(noise.astype("<f4").tobytes()).hexdigest() == DIGESTS[key]


def test_noise_has_the_same_bits_without_the_processors_features() -> None:
    """numpy's own `log` has not: it takes another path where there is AVX2 or AVX-512."""
    umath = pytest.importorskip("numpy._core._multiarray_umath")
    features = [feature for feature in umath.__cpu_dispatch__ if umath.__cpu_features__[feature]]
    said = subprocess.run(
        [sys.executable, "-c", DIGEST, Path(canonical.__file__).parent],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(features)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stdout.split() == [*DIGESTS.values()], said.stderr


def single(number: float) -> float:
    """Round to single precision."""
    rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return rounded


def negative_log(f: float, exponent: int) -> float:
    """Do as the module documents, one number and one rounding at a time.

    A sum or a product of singles, rounded to double and then to single, is as if rounded once.
    """
    polynomial = 0.0
    for coefficient in (
        *(-7.0376836292e-2, 1.1514610310e-1, -1.1676998740e-1, 1.2420140846e-1, -1.4249322787e-1),
        *(1.6668057665e-1, -2.0000714765e-1, 2.4999993993e-1, -3.3333331174e-1),
    ):
        polynomial = single(single(polynomial * f) + single(coefficient))
    square = single(f * f)
    result = single(single(polynomial * square) * f)
    result = single(result - single(exponent * single(-2.12194440e-4)))
    result = single(result + square / 2)
    result = single(result - f)
    return single(result - exponent * 0.693359375)


def exponent(x: float) -> int:
    """Find e with x / 2^e from sqrt(1/2) to sqrt(2)."""
    e = 0
    while x * 2.0**-e < single(0.5**0.5):
        e -= 1
    while x * 2.0**-e >= 2 * single(0.5**0.5):
        e += 1
    return e


@given(WORDS)
def test_noise_is_that_of_pythons_own_arithmetic(word: int) -> None:
    v = min(single(single(single(word) + 0.5) * 2.0**-32), 1 - 2.0**-24)
    e = exponent(single(1 - v))
    waiting = negative_log((2.0**-e - 1) - 2.0**-e * v, e)
    e = exponent(waiting)
    gumbel = negative_log(waiting * 2.0**-e - 1, e)

    words = np.array([word], np.uint32)
    assert canonical.exponentials(words) == np.float32(waiting)
    assert canonical.gumbels(words) == np.float32(gumbel)


def test_noise_is_precise() -> None:
    """Ends of the range, and a million words of all sizes."""
    some = np.random.default_rng(0).integers(0, 2**32, 1 << 20, dtype=np.uint32)
    first = np.arange(1 << 16, dtype=np.uint32)
    words = np.concatenate([first, ~first, some, some >> np.arange(len(some), dtype=np.uint32) % 32])
    waiting, noise = canonical.exponentials(words), canonical.gumbels(words)
    v = (words.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    exact = -np.log1p(-np.minimum(v, np.float32(1 - 2.0**-24)).astype(np.float64))

    assert (abs(waiting - exact) / np.spacing(exact.astype(np.float32))).max() < 0.85
    assert abs(noise + np.log(waiting.astype(np.float64))).max() < 1e-6
    assert 0 < waiting.min() < waiting.max() < 17


@given(st.integers(0, 3 * canonical._BLOCK))
def test_blocks_do_not_show(size: int) -> None:
    words = np.arange(size, dtype=np.uint32) * np.uint32(2654435761)
    ends = words[-5:]

    assert bits(canonical.gumbels(words)[-5:]) == bits(canonical.gumbels(ends))
    assert bits(canonical.exponentials(words)[-5:]) == bits(canonical.exponentials(ends))
