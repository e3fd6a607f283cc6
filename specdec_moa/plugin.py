"""What specdec loads: the drafter `moa`."""

from specdec import Register, Verifier, hookimpl
from specdec.heads import target_config, target_parts
from specdec_moa.checkpoint import load
from specdec_moa.drafter import MoADrafter
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
    and output head are read from, onto `device`; by default it is the target's `files`. No other tensors are read.

    Raises:
        WrongCheckpoint: the file is damaged or made for another target.
        ModelError: there is nothing at `parts`.
        OptionError: the target is not on this machine, and there are neither `parts` nor its `files`.
    """
    head = load(path, target_config(target, parts), target.tokenizer)
    used = target_parts(target, head.config.target_layer_inference if tli is None else tli, parts, device)
    return MoADrafter(head.eval().to(used.device, used.dtype), used, cut)
