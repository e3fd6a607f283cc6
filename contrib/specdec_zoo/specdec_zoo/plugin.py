"""Makes the models known to specdec, as `zoo` and `zoo-draft`."""

from functools import partial
from typing import Any

import pluggy

from specdec_zoo import path

hookimpl = pluggy.HookimplMarker("specdec")


@hookimpl
def register_models(register: Any) -> None:
    """Name the folders."""
    register("zoo", partial(path, "target"))
    register("zoo-draft", partial(path, "draft"))
