"""What specdec loads: the drafters `eagle` and `eagle3`."""

from specdec import Register, Verifier, hookimpl
from specdec.heads import TargetParts, target_parts
from specdec_eagle import training, training3
from specdec_eagle.checkpoint import Head, load
from specdec_eagle.drafter import Eagle3Drafter, EagleDrafter
from specdec_eagle.model import EagleModel
from specdec_eagle.model3 import Eagle3Model


@hookimpl
def register_drafters(register: Register) -> None:
    """Bring `eagle` and `eagle3`."""
    register("eagle", eagle)
    register("eagle3", eagle3)


@hookimpl
def register_methods(register: Register) -> None:
    """Bring the training of `eagle` and `eagle3`."""
    register("eagle", training.method)
    register("eagle3", training3.method)


def eagle(path: str, target: Verifier, parts: str | None = None, device: str | None = None) -> EagleDrafter:
    """Load an EAGLE-1/2 head for a target.

    For a target that is elsewhere, `parts` is the folder or the name on the hub that its embedding and output head
    are read from, onto `device`; by default it is the target's `files`. Its layers are not read.

    Raises:
        WrongCheckpoint: the file is damaged or made for another target.
        ModelError: there is nothing at `parts`.
        OptionError: the target is not on this machine, and there are neither `parts` nor its `files`.
    """
    return EagleDrafter(*_load(EagleModel, path, target, parts, device))


def eagle3(path: str, target: Verifier, parts: str | None = None, device: str | None = None) -> Eagle3Drafter:
    """Load an EAGLE-3 head for a target; `parts`, `device` and errors are those of `eagle`."""
    return Eagle3Drafter(*_load(Eagle3Model, path, target, parts, device))


def _load(
    kind: type[Head], path: str, target: Verifier, parts: str | None, device: str | None
) -> tuple[Head, TargetParts]:
    used = target_parts(target, 0, parts, device)
    head = load(kind, path, used, target.tokenizer)
    return head.eval().to(used.device, used.dtype), used
