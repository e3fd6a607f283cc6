"""What came out, as a table of Markdown."""

from collections.abc import Sequence

import triton

from specdec_cuda.audit.targets import Row


def laid_out(rows: Sequence[Row]) -> str:
    """Show what each kernel takes on each target, and after that what was found."""
    targets = list(dict.fromkeys(row.target for row in rows))
    cells = {(row.kernel, row.numbers, row.target): f"{row.registers}, {row.spilled}, {row.shared}" for row in rows}
    lines = [f"With Triton {triton.__version__}: registers of a thread, what spills, and bytes of shared memory.", ""]
    lines += [f"|kernel|numbers|{'|'.join(targets)}|", f"|---|---|{'---|' * len(targets)}"]
    for kernel, numbers in dict.fromkeys((row.kernel, row.numbers) for row in rows):
        columns = "|".join(cells[kernel, numbers, target] for target in targets)
        lines.append(f"|`{kernel}`|{numbers}|{columns}|")
    found = [
        f"- `{row.kernel}`{row.numbers and f' of {row.numbers}'} on {row.target}: {', '.join(row.findings)}"
        for row in rows
        if row.findings
    ]
    return "\n".join([*lines, "", *(found or ["Nothing spills, and nothing is fused or approximate."])])
