"""What specdec loads: the drafter `moa`."""

from transformers import PreTrainedConfig, PreTrainedModel

from specdec.errors import OptionError
from specdec.hookspecs import Register, hookimpl
from specdec.interfaces import Verifier
from specdec_moa.checkpoint import load
from specdec_moa.drafter import MoADrafter
from specdec_moa.parts import TargetParts
from specdec_moa.training import method


@hookimpl
def register_drafters(register: Register) -> None:
    """Bring `moa`."""
    register("moa", moa)


@hookimpl
def register_methods(register: Register) -> None:
    """Bring the training of `moa`."""
    register("moa", method)


def moa(path: str, target: Verifier, tli: int | None = None, cut: str = "projected") -> MoADrafter:
    """Load a head for a target: `tli` layers of target layer inference, by default as many as it was trained for.

    Raises:
        WrongCheckpoint: the file is damaged or made for another target.
        OptionError: the target is not on this machine.
    """
    model = getattr(target, "model", None)
    if not isinstance(model, PreTrainedModel):
        raise OptionError(f"expected a target on this machine to take embedding and head from, got {target!r}")
    config: PreTrainedConfig = model.config.get_text_config()
    head = load(path, config, target.tokenizer)
    layers = head.config.target_layer_inference if tli is None else tli
    return MoADrafter(head.eval().to(model.device, model.dtype), TargetParts.of(model, layers), cut)
