"""The zoo on a server of this process."""

from collections.abc import Iterator

import pytest
import specdec_zoo
from serving import TENANTS, listening, serving

from specdec import Target
from specdec.spec import Spec

HEADS = [Spec.parse(f"{name}:{specdec_zoo.path(name)}") for name in ("moa", "eagle3")]


@pytest.fixture(scope="module")
def zoo() -> Target:
    return Target.from_pretrained(specdec_zoo.path("target"))


@pytest.fixture(scope="module")
def zoo_address(zoo: Target) -> Iterator[str]:
    with serving(zoo, HEADS, tenants=TENANTS, at_once=1) as service, listening(service) as server:
        yield f"ws://{server.address}"
