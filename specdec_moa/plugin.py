"""What specdec loads: the drafter `moa`."""

import torch
from transformers import PreTrainedModel

from specdec.errors import OptionError
from specdec.hookspecs import Register, hookimpl
from specdec.interfaces import Verifier
from specdec_moa.checkpoint import load
from specdec_moa.drafter import MoADrafter
from specdec_moa.parts import TargetParts, read_config
from specdec_moa.training import method


@hookimpl
def register_drafters(register: Register) -> None:
    """Bring `moa`."""
    register("moa", moa)


@hookimpl
def register_methods(register: Register) -> None:
    """Bring the training of `moa`."""
    register("moa", method)


def moa(
    path: str,
    target: Verifier,
    tli: int | None = None,
    cut: str = "projected",
    parts: str | None = None,
    device: str | None = None,
) -> MoADrafter:
    """Load a head for a target: `tli` layers of target layer inference, by default as many as it was trained for.

    For a target that is elsewhere, `parts` is the folder or the name on the hub that its embedding, last layers, norm
    and output head are read from, onto `device`; no other tensors of it are.

    Raises:
        WrongCheckpoint: the file is damaged or made for another target.
        ModelError: there is nothing at `parts`.
        OptionError: the target is not on this machine, and `parts` does not say where to find what is needed of it.
    """
    model = getattr(target, "model", None)
    if parts is not None:
        config = read_config(parts)
    elif isinstance(model, PreTrainedModel):
        config = model.config.get_text_config()
    else:
        raise OptionError(
            f"expected a target on this machine, or `parts=` to read what is needed of it, got {target!r}"
        )
    head = load(path, config, target.tokenizer)
    layers = head.config.target_layer_inference if tli is None else tli
    if parts is None:
        borrowed = TargetParts.of(model, layers)
    else:
        borrowed = TargetParts.read(parts, layers, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return MoADrafter(head.eval().to(borrowed.device, borrowed.dtype), borrowed, cut)
