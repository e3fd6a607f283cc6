"""Compiles the kernels for GPUs that need not be there, and looks at what comes out."""
