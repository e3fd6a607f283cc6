"""What was measured, as tables."""

from collections.abc import Sequence

from attrs import asdict
from rich.table import Table

from specdec_cuda.bench import decoding, kernels


def table(rows: Sequence[kernels.Row] | Sequence[decoding.Row]) -> Table:
    """Lay out rows of one kind; a column that has nothing is left out."""
    columns = [name for name in asdict(rows[0]) if any(getattr(row, name) is not None for row in rows)]
    shown = Table(*(name.replace("_", " ") for name in columns), box=None)
    for row in rows:
        shown.add_row(*(_cell(getattr(row, name)) for name in columns))
    return shown


def _cell(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
