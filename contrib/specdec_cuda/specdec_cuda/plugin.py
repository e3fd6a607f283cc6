"""What specdec loads: the verifier `cuda`, and the check of its kernels."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from specdec import OptionError, Register, Rule, hookimpl

if TYPE_CHECKING:
    from specdec.doctor import Finding


@hookimpl
def register_verifiers(register: Register) -> None:
    """Bring `cuda`, for models on a GPU of NVIDIA's or AMD's."""
    register("cuda", _cuda)


@hookimpl
def register_checks(register: Register) -> None:
    """Bring `cuda`, which tests the kernels."""
    register("cuda", _checks)


def _checks() -> "Iterator[Finding]":
    """Test them where Triton is installed, which it is not on every system."""
    from specdec.doctor import Finding, Status

    try:
        from specdec_cuda.selftest import self_test
    except ImportError as error:
        message = f"the verifier cuda needs Triton, got {error}; the verifier local needs none"
        yield Finding("kernels", Status.INFO, message)
        return
    yield from self_test()


def _cuda(path: str, rule: Rule | None = None, device: str = "cuda", graphs: bool = False) -> Any:
    """Load it when it is asked for, for Triton takes its time."""
    try:
        from specdec_cuda.target import CudaTarget
    except ImportError as error:
        raise OptionError(
            f"expected Triton for the verifier cuda, got {error}; the verifier local needs none"
        ) from error
    return CudaTarget.from_pretrained(path, rule, device=device, graphs=graphs)
