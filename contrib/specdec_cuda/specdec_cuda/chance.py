"""Noise for drafters, made where they are."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from specdec import Key, Keyed, upload
from specdec_cuda.interpreter import runs_kernels
from specdec_cuda.kernels.noise import noise
from specdec_cuda.seeds import signed


class KeyedOnDevice(Keyed):
    """The same chance as `Keyed`, bit for bit, whose noise is made on a GPU for whoever needs it there."""

    def noise_on(
        self, device: torch.device, keys: Sequence[Key], scales: Sequence[float], size: int
    ) -> Float[Tensor, "K V"] | None:
        if not runs_kernels(device):  # for a drafter on the CPU
            return None
        seeds, positions = [signed(key.seed) for key in keys], [key.position for key in keys]
        names, temperatures = upload(
            device, torch.tensor([seeds, positions]), torch.tensor(scales, dtype=torch.float32)
        )
        return noise(names[0], names[1], temperatures, size)
