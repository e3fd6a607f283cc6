"""Deciding on the GPU: kernels, and the verifier that uses them."""
