"""Features that arrive for one text at a time, batched for a drafter."""

from collections.abc import Sequence

from attrs import fields
from jaxtyping import Shaped
from torch import Tensor

from specdec.features import Features
from specdec.pending import FeaturesAt
from specdec.split.text import Part


def together(parts: Sequence[Sequence[Part]]) -> tuple[FeaturesAt, ...]:
    """Batch the first parts of all sequences, then the second ones, and so on; some may have fewer than others."""
    most = max(map(len, parts), default=0)
    return tuple(_batch([row[place] if place < len(row) else None for row in parts]) for place in range(most))


def _batch(parts: Sequence[Part | None]) -> FeaturesAt:
    """Batch one part per sequence, padded with zeros where it is shorter or missing."""
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
