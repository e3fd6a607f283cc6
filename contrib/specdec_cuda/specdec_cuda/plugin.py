"""What specdec loads: the verifier `cuda`."""

from typing import Any

from specdec import OptionError, Register, Rule, hookimpl


@hookimpl
def register_verifiers(register: Register) -> None:
    """Bring `cuda`, for models on a GPU of NVIDIA's or AMD's."""
    register("cuda", _cuda)


def _cuda(path: str, rule: Rule | None = None, device: str = "cuda", **options: Any) -> Any:
    """Load it when it is asked for, for Triton takes its time."""
    try:
        from specdec_cuda.target import CudaTarget
    except ImportError as error:
        raise OptionError(
            f"expected Triton for the verifier cuda, got {error}; the verifier local needs none"
        ) from error
    return CudaTarget.from_pretrained(path, rule, device=device, **options)
