"""Features of several texts, as they come one by one, for a drafter that learns them as a batch."""

from collections.abc import Sequence

from attrs import fields
from jaxtyping import Shaped
from torch import Tensor

from specdec.context import FeaturesAt
from specdec.features import Features
from specdec.split.text import Part


def together(parts: Sequence[Sequence[Part]]) -> tuple[FeaturesAt, ...]:
    """Put the sequences' first parts together, and so on; there may be more of one than of another."""
    most = max(map(len, parts), default=0)
    return tuple(_batch([row[place] if place < len(row) else None for row in parts]) for place in range(most))


def _batch(parts: Sequence[Part | None]) -> FeaturesAt:
    """Put features of sequences in one batch, with zeros after those of fewer tokens and where there are none."""
    some = [part.features for part in parts if part is not None]
    longest = max(features.count for features in some)

    def stack(name: str) -> Shaped[Tensor, "B K ..."] | None:
        if (like := getattr(some[0], name)) is None:
            return None
        stacked: Tensor = like.new_zeros(len(parts), longest, *like.shape[2:])
        for number, part in enumerate(parts):
            if part is not None:
                stacked[number, : part.features.count] = getattr(part.features, name)[0]
        return stacked

    features = Features(**{one.name: stack(one.name) for one in fields(Features)})
    starts = [0 if part is None else part.start for part in parts]
    return FeaturesAt(features, starts, [0 if part is None else part.features.count for part in parts])
