"""Deciding on the GPU: kernels, and the verifier that uses them.

Triton is imported when it is first needed: by then `TRITON_INTERPRET` has been set, if it is to be.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
