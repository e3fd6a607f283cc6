import pytest
import specdec_zoo

from specdec import Target


@pytest.fixture(scope="session")
def zoo() -> Target:
    return Target.from_pretrained(specdec_zoo.path("target"))
