"""Muon for matrices, AdamW for the rest; in float32, for bfloat16 (`torch.optim.Muon`) is slow on CPUs.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
"""

from collections import defaultdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration that Muon was published with."""
NEWTON_SCHULZ_STEPS = 5


class MuonAdamW(torch.optim.AdamW):
    """AdamW whose groups marked `muon` hold matrices, stepped along their orthogonalised momentum."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Step the matrices, then all else."""
        groups = self.param_groups
        for group in groups:
            if group["muon"]:
                self._step_matrices(group)
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            return super().step(closure)
        finally:
            self.param_groups = groups

    def _step_matrices(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for matrix in group["params"]:
            if matrix.grad is not None:
                by_shape[matrix.shape].append(matrix)
        for (rows, columns), matrices in by_shape.items():
            updates = orthogonal(torch.stack([self._nesterov(matrix) for matrix in matrices]))
            step = group["lr"] * max(1.0, rows / columns) ** 0.5
            for matrix, update in zip(matrices, updates, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-step)

    def _nesterov(self, matrix: nn.Parameter) -> Float[Tensor, "R C"]:
        if matrix.grad is None:
            raise ValueError("a matrix without a gradient has no step")
        state = self.state[matrix]
        if "momentum" not in state:
            state["step"] = torch.zeros(())  # AdamW looks for it when a checkpoint is loaded
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
        return matrix.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices: Float[Tensor, "N R C"]) -> Float[Tensor, "N R C"]:
    """Give about the nearest semi-orthogonal matrices, by a Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
