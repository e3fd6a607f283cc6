"""`python -m specdec_cuda.audit`: what comes out of the kernels on GPUs of several kinds, none of which is needed."""

import json
import os
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated

import typer
from attrs import asdict

KERNELS = "specdec_cuda.kernels"
TABLE = re.compile(r"(<!-- table -->\n).*?(?=<!-- end -->)", re.DOTALL)


def audit(
    modules: Annotated[list[str] | None, typer.Argument(help="Where kernels are declared; all by default.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="sm_80, sm_90, sm_100 or gfx942; all by default.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compile kernels for one type of numbers alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    page: Annotated[Path | None, typer.Option(help="A page to write the table into, where it has one.")] = None,
) -> None:
    """Compile the kernels, and exit with 1 where one spills, or has operations that round otherwise elsewhere."""
    os.environ.pop("TRITON_INTERPRET", None)  # before Triton is imported
    from specdec_cuda.audit.table import laid_out
    from specdec_cuda.audit.targets import TARGETS, audited, variants
    from specdec_cuda.jit import KERNELS as ALL

    names = modules or [f"{KERNELS}.{one.name}" for one in iter_modules(import_module(KERNELS).__path__)]
    for name in names:
        import_module(name)
    kernels = sorted((one for one in ALL if one.module in names), key=lambda one: one.name)
    rows = [
        audited(kernel, numbers, types, one)
        for kernel in kernels
        for numbers, types in list(variants(kernel))[: 1 if quick else None]
        for one in target or TARGETS
    ]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print(laid_out(rows))
    if page is not None:
        text = page.read_text("utf-8")
        page.write_text(TABLE.sub(lambda found: found[1] + laid_out(rows) + "\n", text), "utf-8")
    raise typer.Exit(1 if any(row.findings for row in rows) else 0)


if __name__ == "__main__":
    typer.run(audit)
