"""Speculative decoding: a large language model made faster without changing what it says.

The public names are listed in `__init__.pyi`, and each is imported when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
