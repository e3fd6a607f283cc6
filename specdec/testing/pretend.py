"""A pretended GPU: tensors that say `cuda`, compute on the CPU, and count what crosses between the two.

What blocks is what makes a host wait for a real GPU: reading a value of it, copying from it, indexing with a mask, and
copying to it from memory that is not pinned. Devices do not mix, and there is no `.numpy()`, as on a real one.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from attrs import define, field, frozen
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

Module = TypeVar("Module", bound=nn.Module)
Anything = TypeVar("Anything")

DEVICE = torch.device("cuda", 0)

_VIEWS = frozenset(
    {"view", "_unsafe_view", "expand", "t", "transpose", "permute", "slice", "select", "unsqueeze", "squeeze"}
    | {"detach", "alias", "as_strided", "unbind", "split", "split_with_sizes"}
)
_INDEXING = frozenset({"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"})
_COMPOSITE = frozenset({"scaled_dot_product_attention", "where"})
"""Operations that make tensors of their own where torch believes the others to be."""
_READS = frozenset({"_local_scalar_dense", "equal", "is_nonzero"})
_SIZED_BY_VALUES = frozenset({"nonzero", "masked_select", "unique_consecutive", "_unique2"})


@frozen
class Crossing:
    """Something that went over: `up` to the device, `down` from it, or a `wait` for it to know a size."""

    kind: str
    nbytes: int
    blocks: bool
    where: str
    """The line of specdec or transformers that did it."""


@define(eq=False)
class PretendedGPU:
    """What has crossed, in order, and how often each operation was launched."""

    crossings: list[Crossing] = field(factory=list)
    launches: Counter[str] = field(factory=Counter)

    def place(self, module: Module) -> Module:
        """Move a module's parameters and buffers, uncounted."""
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    part._parameters[name] = nn.Parameter(OnDevice(parameter.detach()), requires_grad=False)
            part._buffers.update(
                {name: OnDevice(buffer) for name, buffer in part._buffers.items() if buffer is not None}
            )
        return module

    def clear(self) -> None:
        """Forget what was counted."""
        self.crossings.clear()
        self.launches.clear()

    @property
    def blocking(self) -> list[Crossing]:
        """Those that the host waits for."""
        return [crossing for crossing in self.crossings if crossing.blocks]

    def nbytes(self, kind: str) -> int:
        """How many bytes went `up` or `down`."""
        return sum(crossing.nbytes for crossing in self.crossings if crossing.kind == kind)

    def count(self, kind: str, tensor: Tensor | None = None, *, blocks: bool = True) -> None:
        """Note a crossing of a tensor, or of one value."""
        nbytes = 0 if tensor is None else tensor.numel() * tensor.element_size()
        self.crossings.append(Crossing(kind, nbytes, blocks, _where()))


@contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """Pretend that there is a GPU; one at a time.

    Inference mode is plain `no_grad` inside, for subclasses of tensors have no views in it.
    """
    gpu, inference_mode = PretendedGPU(), torch.inference_mode
    _ACTIVE.append(gpu)
    torch.inference_mode = _no_grad  # type: ignore[assignment,misc]
    try:
        with _Placing():
            yield gpu
    finally:
        torch.inference_mode = inference_mode  # type: ignore[misc]
        _ACTIVE.pop()


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
        _gpu().count("down", self.held)
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("expected a tensor of the host for numpy(), got one on cuda:0; copy it with cpu() first")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, options = func.overloadpacket.__name__, dict(kwargs or {})
        if name == "_to_copy" and (device := options.get("device")) is not None and torch.device(device).type == "cpu":
            _gpu().count("down", args[0].held, blocks=not options.get("non_blocking"))
            return func(args[0].held, **options | {"device": "cpu"}).clone()
        if name == "copy_":
            return _copy(*args)
        _check_devices(name, args, options)
        result = func(*tree_map(on_host, args), **tree_map(_to_cpu, options))
        if name not in _VIEWS:
            _gpu().launches[name] += 1
        if func._schema.is_mutable and isinstance(args[0], OnDevice) and result is args[0].held:
            return args[0]
        return options["out"] if "out" in options else tree_map(_wrap, result)


class _Placing(TorchFunctionMode):
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
                args[0].held[tree_map(on_host, args[1])] = args[2]
                return None
        if name in ("to", "cuda", "type_as"):
            return _move(func, args, options)
        if name in _COMPOSITE and isinstance(args[0], OnDevice):
            _check_devices(name, args, options)
            _gpu().launches[name] += 1
            return OnDevice(func(*map(on_host, args), **tree_map(on_host, options)))
        device = options.get("device")
        if device is None or torch.device(device).type != "cuda" or any(isinstance(one, OnDevice) for one in args):
            return func(*args, **options)
        made = func(*args, **options | {"device": "cpu"})
        if name in ("tensor", "as_tensor"):
            _gpu().count("up", made)
        return tree_map(_wrap, made)


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
    _gpu().count("up", source, blocks=not (options.get("non_blocking") and hasattr(source, "_pinned")))
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
    _gpu().count("up", index)
    return OnDevice(index)


def _copy(goal: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """Carry out `copy_` within the device or across."""
    if not isinstance(goal, OnDevice):
        _gpu().count("down", on_host(source), blocks=not non_blocking)
        return goal.copy_(on_host(source))
    if not isinstance(source, OnDevice) and source.dim() > 0:
        _gpu().count("up", source, blocks=not (non_blocking and hasattr(source, "_pinned")))
    goal.held.copy_(on_host(source))
    return goal


def _check_devices(name: str, args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Count what this operation makes the host wait for.

    Raises:
        RuntimeError: it mixes devices.
    """
    tensors = [one for one in tree_flatten((args, options))[0] if isinstance(one, Tensor)]
    if name in _READS:
        _gpu().count("down", next(one.held for one in tensors if isinstance(one, OnDevice)))
    if name in _SIZED_BY_VALUES:
        _gpu().count("wait")
    indices = [one for one in tree_flatten(args[1])[0] if isinstance(one, Tensor)] if name in _INDEXING else []
    if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
        _gpu().count("wait")
    for one in tensors:
        if isinstance(one, OnDevice) or one.dim() == 0 or one.numel() == 0:
            continue
        if name not in _INDEXING:
            raise RuntimeError(f"expected all tensors on one device, got cuda:0 and cpu, by {name} at {_where()}")
        _gpu().count("up", one)


def _to_cpu(value: Any) -> Any:
    return torch.device("cpu") if isinstance(value, torch.device) and value.type in ("cuda", "meta") else on_host(value)


def _wrap(value: Any) -> Any:
    return OnDevice(value) if isinstance(value, Tensor) and not isinstance(value, OnDevice) else value


def _where() -> str:
    """Name the innermost line outside torch and this file."""
    for frame in reversed(traceback.extract_stack()):
        if ("/specdec" in frame.filename or "/transformers/" in frame.filename) and frame.filename != __file__:
            return f"{frame.filename.split('site-packages/')[-1]}:{frame.lineno} {frame.name}"
    return "elsewhere"


def _gpu() -> PretendedGPU:
    if not _ACTIVE:
        raise RuntimeError("expected a pretended GPU, got a tensor of one outside `with pretended_gpu()`")
    return _ACTIVE[-1]


@contextmanager
def _no_grad(mode: bool = True) -> Iterator[None]:
    with torch.no_grad():
        yield


_ACTIVE: list[PretendedGPU] = []
