"""Enumerations call small functions millions of times: shapes are checked where the rest is tested."""

import pytest
from jaxtyping import config


@pytest.fixture(scope="package", autouse=True)
def unchecked_shapes():
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
