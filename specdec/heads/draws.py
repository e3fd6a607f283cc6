"""Random draws of training, by key."""

import numpy as np
import torch


def keyed_generator(seed: int, index: int, epoch: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Seed a generator by the run's seed, a text's place in the data and the pass over it, and by nothing else.

    However a run is cut into batches, processes or sessions, its draws are the same.
    """
    state = np.random.SeedSequence([seed, index, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))
