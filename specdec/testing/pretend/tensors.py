"""Tensors that say that they are on a GPU."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from specdec.testing.pretend.gpu import DEVICE, active, where

Anything = TypeVar("Anything")

_VIEWS = frozenset(
    {"view", "_unsafe_view", "expand", "t", "transpose", "permute", "slice", "select", "unsqueeze", "squeeze"}
    | {"detach", "alias", "as_strided", "unbind", "split", "split_with_sizes"}
)
_INDEXING = frozenset({"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"})
_READS = frozenset({"_local_scalar_dense", "equal", "is_nonzero"})
_SIZED_BY_VALUES = frozenset({"nonzero", "masked_select", "unique_consecutive", "_unique2"})


def on_host(tensor: Anything) -> Anything:
    """Give what a pretended tensor holds, uncounted, for kernels that are interpreted; anything else as it is."""
    return tensor.held if isinstance(tensor, OnDevice) else tensor  # type: ignore[return-value]


class OnDevice(Tensor):
    """A tensor that says it is on the GPU; `held` is what it holds."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        wrapped: OnDevice = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device("meta"),
            requires_grad=False,
        )
        wrapped.held = held
        return wrapped

    def __init__(self, held: Tensor) -> None:
        super().__init__()

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"OnDevice({self.held!r})"

    def tolist(self) -> Any:
        active().count("down", self.held)
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("expected a tensor of the host for numpy(), got one on cuda:0; copy it with cpu() first")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, options = func.overloadpacket.__name__, dict(kwargs or {})
        if name == "_to_copy" and (device := options.get("device")) is not None and torch.device(device).type == "cpu":
            active().count("down", args[0].held, blocks=not options.get("non_blocking"))
            return func(args[0].held, **options | {"device": "cpu"}).clone()
        if name == "copy_":
            return _copy(*args)
        check_devices(name, args, options)

        def work() -> Any:
            return func(*tree_map(on_host, args), **tree_map(to_cpu, options))

        result = work() if name in _VIEWS else active().launch(name, work)
        if func._schema.is_mutable and isinstance(args[0], OnDevice) and result is args[0].held:
            return args[0]
        return options["out"] if "out" in options else tree_map(wrap, result)


def _copy(goal: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """Carry out `copy_` within the device or across."""
    if not isinstance(goal, OnDevice):
        active().count("down", on_host(source), blocks=not non_blocking)
        return goal.copy_(on_host(source))
    if not isinstance(source, OnDevice) and source.dim() > 0:
        active().count("up", source, blocks=not (non_blocking and hasattr(source, "_pinned")))
    held = goal.held
    active().launch("copy_", lambda: held.copy_(on_host(source)))
    return goal


def check_devices(name: str, args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Count what this operation makes the host wait for.

    Raises:
        RuntimeError: it mixes devices.
    """
    tensors = [one for one in tree_flatten((args, options))[0] if isinstance(one, Tensor)]
    if name in _READS:
        active().count("down", next(one.held for one in tensors if isinstance(one, OnDevice)))
    if name in _SIZED_BY_VALUES:
        active().count("wait")
    indices = [one for one in tree_flatten(args[1])[0] if isinstance(one, Tensor)] if name in _INDEXING else []
    if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
        active().count("wait")
    for one in tensors:
        if isinstance(one, OnDevice) or one.dim() == 0 or one.numel() == 0:
            continue
        if name not in _INDEXING:
            raise RuntimeError(f"expected all tensors on one device, got cuda:0 and cpu, by {name} at {where()}")
        active().count("up", one)


def to_cpu(value: Any) -> Any:
    """Turn the pretended device into the one that computes, and its tensors into what they hold."""
    return torch.device("cpu") if isinstance(value, torch.device) and value.type in ("cuda", "meta") else on_host(value)


def wrap(value: Any) -> Any:
    """Have a tensor say that it is on the device."""
    return OnDevice(value) if isinstance(value, Tensor) and not isinstance(value, OnDevice) else value
