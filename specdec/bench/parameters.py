"""How many weights a drafter brings."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

DEPTH = 3
"""How far below the drafter its modules are looked for: the model of the engine that it has."""


def count(drafter: object, target: nn.Module | None = None) -> int:
    """Count the weights of a drafter's modules, each once, without those that it shares with the target."""
    shared = set() if target is None else {id(weight) for weight in target.parameters()}
    own = {id(weight): weight.numel() for module in _modules(drafter, DEPTH) for weight in module.parameters()}
    return sum(size for key, size in own.items() if key not in shared)


def _modules(thing: object, depth: int) -> Iterator[nn.Module]:
    if isinstance(thing, nn.Module):
        yield thing
    elif isinstance(thing, list | tuple):
        for each in thing:
            yield from _modules(each, depth)
    elif depth and not isinstance(thing, Tensor | type):
        for value in _attributes(thing):
            yield from _modules(value, depth - 1)


def _attributes(thing: object) -> list[Any]:
    slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
    return [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, slot, None) for slot in slots)]
