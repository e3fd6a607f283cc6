"""Where a pass finds its rows among the slots of a cache."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Int
from torch import Tensor


@frozen(eq=False)
class SlotMapping:
    """The slots that a forward pass touches, the columns that it writes in each, and how far it reads."""

    slots: Sequence[int]
    columns: Int[Tensor, "R M"]
    end: int
    index: Int[Tensor, " R"] = field()
    """The slots again, where the columns are."""

    @index.default
    def _from_slots(self) -> Int[Tensor, " R"]:
        return torch.tensor(self.slots, device=self.columns.device)

    @cached_property
    def run(self) -> slice | None:
        """The slots, if each is the neighbour of the one before."""
        first, stop = self.slots[0], self.slots[0] + len(self.slots)
        return slice(first, stop) if [*self.slots] == [*range(first, stop)] else None

    @cached_property
    def written(self) -> slice | None:
        """The columns, if all rows write the same, without gaps; on a device, to look would be to wait."""
        if self.columns.device.type != "cpu":
            return None
        columns = self.columns.numpy()
        start = int(columns[0, 0]) if columns.size else 0
        stop = start + columns.shape[1]
        return slice(start, stop) if (columns == np.arange(start, stop)).all() else None
