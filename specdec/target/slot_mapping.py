"""Where a pass finds its rows among the slots of a cache."""

from collections.abc import Sequence
from functools import cached_property

import torch
from attrs import frozen
from jaxtyping import Int
from torch import Tensor

from specdec.transfer import upload


@frozen(eq=False)
class SlotMapping:
    """The slots that a forward pass touches, the columns that it writes in each, and how far it reads."""

    slots: Sequence[int]
    columns: Int[Tensor, "R M"]
    end: int
    starts: Sequence[int] | None = None
    """At which column each row begins to write without gaps, if all do."""
    rows: Int[Tensor, " R"] | None = None
    """The slots again, where the columns are, if they are there already."""

    @cached_property
    def index(self) -> Int[Tensor, " R"]:
        """The slots as an index."""
        return upload(self.columns.device, torch.tensor(self.slots))[0] if self.rows is None else self.rows

    @cached_property
    def run(self) -> slice | None:
        """The slots, if each is the neighbour of the one before."""
        first, stop = self.slots[0], self.slots[0] + len(self.slots)
        return slice(first, stop) if [*self.slots] == [*range(first, stop)] else None

    @cached_property
    def written(self) -> slice | None:
        """The columns, if all rows write the same."""
        if self.starts is None or any(start != self.starts[0] for start in self.starts):
            return None
        return slice(self.starts[0], self.starts[0] + self.columns.shape[1])
