"""Training that starts from a head that exists."""

from typing import Any, TypeVar

from transformers import PreTrainedModel

from specdec.errors import OptionError

START = "A head to continue from, which keeps its sizes: a folder, the name of an installed model, or one on the hub."
Head = TypeVar("Head", bound=PreTrainedModel)


def check_start(start: str, **shaping: bool) -> None:
    """Refuse options that shape a new head where training starts from one that exists.

    `shaping` says of each whether it is set.

    Raises:
        OptionError: one is.
    """
    if start and (clash := [name for name, is_set in shaping.items() if is_set]):
        raise OptionError(f"expected {' and '.join(clash)} to be left out with start, because {start} decides it")


def to_train(head: Head, target: dict[str, Any]) -> Head:
    """Make a loaded head one that is trained: in float32, for the target of this fingerprint."""
    config: Any = head.config
    config.target = target
    head.float()
    return head
