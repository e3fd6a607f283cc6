"""Types and shapes are checked while tests run, where conftest.py says so."""

import pytest
from jaxtyping import TypeCheckError

from specdec.spec import Spec


def test_what_is_not_of_its_type_is_found() -> None:
    with pytest.raises(TypeCheckError, match="text"):
        Spec.parse(3)  # type: ignore[arg-type]
