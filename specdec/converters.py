"""What users write as options, made into plain Python values."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from specdec.errors import OptionError

T = TypeVar("T")


def scalar(value: Any) -> Any:
    """Make a Python number of a scalar of numpy or torch; other values stay as they are."""
    return value.item() if isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0 else value


def token_ids(value: Any) -> tuple[int, ...] | None:
    """Read token ids, one or several."""
    return _read(_ids, value, "token ids")


def token_sequences(value: Any) -> tuple[tuple[int, ...], ...] | None:
    """Read lists of token ids."""
    return _read(_sequences, value, "lists of token ids")


def token_biases(value: Any) -> tuple[tuple[tuple[int, ...], float], ...] | None:
    """Read pairs of token ids and the number to add to the score of their last, or a mapping."""
    return _read(_biases, value, "pairs of token ids and a number")


def length_decay(value: Any) -> tuple[int, float] | None:
    """Read a number of tokens and a factor."""
    return _read(_decay, value, "a number of tokens and a factor")


def texts(value: Any) -> tuple[str, ...]:
    """Read one text or several; None is none."""
    return _read(_texts, value, "text, or a list of texts") or ()


def callables(value: Any) -> tuple[Any, ...]:
    """Read one function or several; None is none."""
    return _read(_callables, value, "logits processors") or ()


def _read(convert: Callable[[Any], T], value: Any, expected: str) -> T | None:
    try:
        return None if value is None else convert(value)
    except (TypeError, ValueError) as error:
        raise OptionError(f"expected {expected}, got {value!r}: {error}") from None


def _flat(value: Any) -> Any:
    """Make lists of arrays and tensors, a list of anything that is alone."""
    if isinstance(value, np.ndarray | Tensor):
        value = value.tolist()
    return value if isinstance(value, list | tuple | set | frozenset | range) else [value]


def _id(value: Any) -> int:
    number = scalar(value)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{value!r} is no token id")
    return number


def _ids(value: Any) -> tuple[int, ...]:
    return tuple(_id(token) for token in _flat(value))


def _some_ids(value: Any) -> tuple[int, ...]:
    tokens = _ids(value)
    if not tokens:
        raise ValueError("a sequence of no tokens")
    return tokens


def _sequences(value: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(_some_ids(tokens) for tokens in _flat(value))


def _number(value: Any) -> float:
    number = float(value)
    if not number < inf:
        raise ValueError(f"expected a number below infinity, got {value!r}")
    return number


def _biases(value: Any) -> tuple[tuple[tuple[int, ...], float], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple((_some_ids(tokens), _number(bias)) for tokens, bias in pairs)


def _decay(value: Any) -> tuple[int, float]:
    start, factor = value
    return _id(start), _number(factor)


def _texts(value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value)
    if strange := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"{strange[0]!r} is no text")
    return texts


def _callables(value: Any) -> tuple[Any, ...]:
    some: Sequence[Any] = tuple(value) if isinstance(value, list | tuple) else (value,)
    if strange := [each for each in some if not callable(each)]:
        raise ValueError(f"{strange[0]!r} cannot be called")
    return tuple(some)
