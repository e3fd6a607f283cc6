"""What others call the parts of a head: the formats of EAGLE itself, and of vLLM's `speculators`."""

from attrs import evolve

from specdec import WrongCheckpoint
from specdec.heads import Checkpoint

_RENAMED = {
    "eagle": {"fusion_fc.": "fc.", "transformer.": "layers.0."},
    "eagle3": {"layers.0.": "midlayer."},
}
_UNKNOWN = ("fc_norm", "norm_output")
"""Switches of `speculators` that change what is computed, and have no counterpart here."""


def plain(checkpoint: Checkpoint) -> Checkpoint:
    """Give configuration and tensors of any format EAGLE's own names.

    Raises:
        WrongCheckpoint: it is a head of `speculators` that computes something else.
    """
    fields, path = checkpoint.fields, checkpoint.path
    kind = fields.get("speculators_model_type")
    if kind is None:
        return checkpoint
    if kind not in _RENAMED:
        raise WrongCheckpoint(f"expected {path} to be a head of type {' or '.join(_RENAMED)}, got {kind}")
    for name in _UNKNOWN:
        if fields.get(name):
            raise WrongCheckpoint(f"expected a head without {name} in {path}, got {name} {fields[name]}")
    layer = fields.get("transformer_layer_config", {})
    own = {name: value for name, value in fields.items() if name not in ("transformer_layer_config", "architectures")}
    if "fusion_bias" in own:
        own["bias"] = own["fusion_bias"]
    tensors = {_renamed(kind, name): tensor for name, tensor in checkpoint.tensors.items()}
    return evolve(checkpoint, fields={**layer, **own, "model_type": kind}, tensors=tensors)


def _renamed(kind: str, name: str) -> str:
    for theirs, ours in _RENAMED[kind].items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
