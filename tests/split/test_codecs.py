"""Features survive their codecs, as far as these promise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdec import Features
from specdec.split.codecs import CODECS, decode_features, encode_features, token_bytes

ERRORS = {"float32": 0.0, "float16": 1e-3, "int8": 0.012, "int4": 0.2}
"""Largest error, relative to the largest number of a group."""


@pytest.mark.parametrize("codec", CODECS)
@given(count=st.integers(1, 4), width=st.integers(1, 300), heads=st.integers(1, 3), power=st.integers(-3, 3))
def test_what_comes_out_is_near_what_went_in(codec: str, count: int, width: int, heads: int, power: int) -> None:
    values = torch.randn(1, count, heads, width, generator=torch.Generator().manual_seed(width)) * 10.0**power
    features = Features(hidden=values)
    arrays = encode_features(features, codec)
    decoded = decode_features(arrays, codec)

    assert decoded is not None
    assert decoded.hidden is not None
    assert decoded.hidden.shape == values.shape
    assert len(arrays["hidden"].data) == count * token_bytes(features, codec)
    assert (decoded.hidden - values).abs().max() <= ERRORS[codec] * values.abs().max()


@pytest.mark.parametrize("codec", CODECS)
def test_large_and_small_numbers_stay_finite(codec: str) -> None:
    values = torch.tensor([[[1e30, -1e30, 1e-30, 0.0]]])
    decoded = decode_features(encode_features(Features(encoded=values), codec), codec)

    assert decoded is not None
    assert decoded.encoded is not None
    assert decoded.encoded.isfinite().all()
    assert decoded.encoded[0, 0, 0] > 6e4


def test_features_that_are_not_finite_are_not_sent() -> None:
    assert encode_features(Features(encoded=torch.tensor([[[1.0, torch.nan]]])), "int8") == {}
    assert decode_features({}, "int8") is None
