"""Deciding on the GPU: kernels, and the verifier that uses them."""

from specdec_cuda.target import CudaTarget

__all__ = ["CudaTarget"]
