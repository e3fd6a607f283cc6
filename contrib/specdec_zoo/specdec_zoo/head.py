"""What a head is, to the recipe."""

from dataclasses import dataclass, field
from typing import Any

LENGTH, BATCH = 256, 4
"""Tokens of a text, and texts of a step."""


@dataclass(frozen=True)
class Head:
    """A training method of specdec, its options, highest rate (of AdamW), and for how many tokens."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    rate: float = 3e-3
    tokens: int = 1_500_000
