"""What specdec loads: the drafters `eagle` and `eagle3`."""

from transformers import PreTrainedModel

from specdec.drafters.borrowed import Borrowed
from specdec.errors import OptionError
from specdec.hookspecs import Register, hookimpl
from specdec.interfaces import Verifier
from specdec.target.loading import Name
from specdec_eagle import training, training3
from specdec_eagle.checkpoint import load
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


def eagle(path: Name, target: Verifier) -> EagleDrafter:
    """Load an EAGLE-1/2 head for a target.

    Raises:
        WrongCheckpoint: the file is damaged or made for another target.
        OptionError: the target is not on this machine.
    """
    model = _model(target)
    parts = Borrowed.of(model)
    head = load(EagleModel, str(path), parts, target.tokenizer)
    return EagleDrafter(head.eval().to(model.device, model.dtype), parts)


def eagle3(path: Name, target: Verifier) -> Eagle3Drafter:
    """Load an EAGLE-3 head for a target.

    Raises:
        WrongCheckpoint: the file is damaged or made for another target.
        OptionError: the target is not on this machine.
    """
    model = _model(target)
    parts = Borrowed.of(model)
    head = load(Eagle3Model, str(path), parts, target.tokenizer)
    return Eagle3Drafter(head.eval().to(model.device, model.dtype), parts)


def _model(target: Verifier) -> PreTrainedModel:
    model = getattr(target, "model", None)
    if not isinstance(model, PreTrainedModel):
        raise OptionError(f"expected a target on this machine to take embedding and head from, got {target!r}")
    return model
