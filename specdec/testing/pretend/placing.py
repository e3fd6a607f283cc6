"""Making tensors on a GPU, and moving them there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from specdec.testing.pretend.gpu import DEVICE, active
from specdec.testing.pretend.tensors import OnDevice, check_devices, on_host, wrap

_COMPOSITE = frozenset({"scaled_dot_product_attention", "where"})
"""Operations that make tensors of their own where torch believes the others to be."""


class Placing(TorchFunctionMode):
    """Has `x.to("cuda")`, `torch.zeros(..., device="cuda")` and the like make pretended tensors."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, options = getattr(func, "__name__", ""), dict(kwargs or {})
        if name == "pin_memory":
            return _pinned(args[0])
        if name == "is_pinned":
            return hasattr(args[0], "_pinned")
        if name in ("__getitem__", "__setitem__") and isinstance(args[0], OnDevice):
            args = (args[0], _index(args[1]), *args[2:])
            if name == "__setitem__" and isinstance(args[2], int | float):
                held, index = args[0].held, tree_map(on_host, args[1])
                return active().launch(name, lambda: held.__setitem__(index, args[2]))
        if name in ("to", "cuda", "type_as"):
            return _move(func, args, options)
        if name in _COMPOSITE and isinstance(args[0], OnDevice):
            check_devices(name, args, options)
            there = tuple(map(on_host, args)), tree_map(on_host, options)
            return OnDevice(active().launch(name, lambda: func(*there[0], **there[1])))
        device = options.get("device")
        if device is None or torch.device(device).type != "cuda" or any(isinstance(one, OnDevice) for one in args):
            return func(*args, **options)
        made = active().launch(name, lambda: func(*args, **options | {"device": "cpu"}))
        if name in ("tensor", "as_tensor"):
            active().count("up", made)
        return tree_map(wrap, made)


def _move(func: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Carry out `to`: a copy to the device is counted, and is a tensor of its own."""
    source, *rest = args
    targets = [options.pop("device", None), *rest]
    places = [DEVICE if isinstance(one, OnDevice) else one for one in targets]
    devices = [one for one in places if isinstance(one, torch.device | str) and torch.device(one).type == "cuda"]
    if not isinstance(source, Tensor) or not (devices or func.__name__ == "cuda"):
        return func(source, *rest, **options if targets[0] is None else options | {"device": targets[0]})
    dtypes = [one.dtype if isinstance(one, Tensor) else one for one in [*rest, options.get("dtype")]]
    dtype = next((one for one in dtypes if isinstance(one, torch.dtype)), source.dtype)
    if isinstance(source, OnDevice):
        same = dtype == source.dtype and not options.get("copy")
        return source if same else func(source, dtype, copy=options.get("copy", False))
    active().count("up", source, blocks=not (options.get("non_blocking") and hasattr(source, "_pinned")))
    return OnDevice(source.to(dtype).clone())


def _pinned(tensor: Tensor) -> Tensor:
    copy = tensor.clone()
    copy._pinned = True  # type: ignore[attr-defined]
    return copy


def _index(index: Any) -> Any:
    """Move lists and the host's tensors among indices to the device, which waits."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, list | range):
        index = torch.tensor(index)
    if not isinstance(index, Tensor) or isinstance(index, OnDevice) or index.dim() == 0:
        return index
    active().count("up", index)
    return OnDevice(index)
