"""Types and shapes are checked where `--jaxtyping-packages` says so, as it does in `.ci/run`."""

import pytest
from jaxtyping import TypeCheckError

from specdec.spec import Spec


def test_what_is_not_of_its_type_is_found(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--jaxtyping-packages"):
        pytest.skip("types are not checked in this run")
    with pytest.raises(TypeCheckError, match="text"):
        Spec.parse(3)  # type: ignore[arg-type]
