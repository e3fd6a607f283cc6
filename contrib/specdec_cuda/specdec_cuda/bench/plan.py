"""What is measured."""

from itertools import product

import torch
from attrs import frozen

from specdec.errors import OptionError
from specdec_cuda.bench.counting import LEVELS, Size
from specdec_cuda.bench.decoding import TAUS, Case
from specdec_cuda.work import Shape

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@frozen
class Plan:
    """Shapes for the kernels, and a model with cases of decoding; the model is of the first type of numbers."""

    shapes: list[Shape]
    size: Size
    dtype: torch.dtype
    cases: list[Case]

    @classmethod
    def of(
        cls,
        temperature: str,
        vocabulary: str,
        dtype: str,
        nodes: int,
        batch: str,
        layers: int,
        hidden: int,
        tokens: int,
    ) -> "Plan":
        """Read the options of the command line.

        Raises:
            OptionError: one of them means nothing.
        """
        sizes, batches = _numbers("--vocabulary", vocabulary, LEVELS + nodes), _numbers("--batch", batch, 1)
        unknown = [name for name in dtype.split(",") if name not in DTYPES]
        if unknown:
            raise OptionError(f"expected --dtype of {', '.join(DTYPES)}, got {unknown[0]!r}")
        if nodes <= max(TAUS):
            raise OptionError(f"expected --nodes above {max(TAUS)}, the longest path, got {nodes}")
        if hidden < 64 or hidden % 64 or (hidden > 512 and hidden % 512):
            raise OptionError(f"expected --hidden to be a multiple of 512, or of 64 up to there, got {hidden}")
        if min(layers, tokens) < 1:
            raise OptionError(f"expected --layers and --tokens of at least 1, got {layers} and {tokens}")
        dtypes = [DTYPES[name] for name in dtype.split(",")]
        return cls(
            [Shape(rows, nodes, size, kind, layers) for kind, size, rows in product(dtypes, sizes, batches)],
            Size(layers, hidden, max(sizes)),
            dtypes[0],
            [Case(rows, heat, nodes, tokens) for rows, heat in product(batches, _temperatures(temperature))],
        )


def _numbers(option: str, text: str, least: int) -> list[int]:
    if not all(part.isdecimal() and int(part) >= least for part in text.split(",")):
        raise OptionError(f"expected {option} with whole numbers of at least {least} and commas between, got {text!r}")
    return [int(part) for part in text.split(",")]


def _temperatures(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1.0]
    if not all(0 <= number < 100 for number in numbers):
        raise OptionError(f"expected --temperature with numbers from 0 and commas between, got {text!r}")
    return numbers
