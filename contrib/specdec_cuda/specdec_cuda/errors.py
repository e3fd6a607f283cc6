"""What goes wrong on a GPU alone."""

from torch import nn

from specdec.errors import UnsupportedModel


def cannot_capture(model: nn.Module, error: Exception) -> UnsupportedModel:
    """Say that a model's passes cannot be captured, and what to do."""
    name, reason = type(model).__name__, str(error).partition("\n")[0]
    return UnsupportedModel(
        f"expected a model whose passes a CUDA graph can hold, got {name}, which without graphs is fine: {reason}"
    )
