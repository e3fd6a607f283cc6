"""Measures the kernels, and decoding with them, on a GPU: `python -m specdec_cuda.bench`."""
