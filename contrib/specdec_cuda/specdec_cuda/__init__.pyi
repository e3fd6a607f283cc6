"""Deciding on the GPU: kernels, and the verifier that uses them."""

from .target import CudaTarget

__all__ = ["CudaTarget"]
