"""Training that starts from a head that exists."""

from typing import Any, TypeVar

from specdec.errors import OptionError
from specdec.training.method import TrainingMethod

START = "A head to continue from, which keeps its sizes: a folder, the name of an installed model, or one on the hub."
Method = TypeVar("Method", bound=TrainingMethod)


def check_start(start: str, **shaping: bool) -> None:
    """Refuse options that shape a new head where training starts from one that exists.

    `shaping` says of each whether it is set.

    Raises:
        OptionError: one is.
    """
    if start and (clash := [name for name, is_set in shaping.items() if is_set]):
        raise OptionError(f"expected {' and '.join(clash)} to be left out with start, because {start} decides it")


def continued(method: Method, target: dict[str, Any]) -> Method:
    """Have a method train a loaded head further: in float32, with its draft vocabulary, for a target's fingerprint."""
    config: Any = method.head.config
    config.target, method.keeps_vocabulary = target, True
    method.float()
    return method
