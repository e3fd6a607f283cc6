"""What a split target is worth: over links of many kinds, and when the line is cut."""

from specdec.bench.split.disconnect import disconnect

__all__ = ["disconnect"]
