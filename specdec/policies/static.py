"""The same shape at every step."""

from operator import index

from attrs import field, frozen

from specdec.errors import OptionError
from specdec.interfaces import TreePolicy
from specdec.tree import Tree


def _levels(value: object) -> tuple[int, ...]:
    """Read `(4, 2, 1)`, `"4x2x1"`, or a single number."""
    try:
        parts = str(value).split("x") if isinstance(value, str | int) else list(value)  # type: ignore[call-overload]
        levels = tuple(int(part) if isinstance(part, str) else index(part) for part in parts)
    except (TypeError, ValueError):
        raise OptionError(f"expected levels such as 4x2x1, got {value!r}") from None
    if not levels or min(levels) < 1:
        raise OptionError(f"expected levels of at least 1 child each, got {value!r}")
    return levels


@frozen
class Static(TreePolicy):
    """Every node at depth d has `levels[d]` children, drawn without replacement if `sampled`."""

    levels: tuple[int, ...] = field(default=(3, 2, 1, 1), converter=_levels)
    sampled: bool = False

    def widths(self, tree: Tree) -> dict[int, int]:
        return dict.fromkeys(tree.leaves, self.levels[tree.depth]) if tree.depth < len(self.levels) else {}
