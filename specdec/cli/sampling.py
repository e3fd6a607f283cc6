"""How the target is sampled, as a command line describes it."""

import json
from collections.abc import Sequence
from typing import Any

from specdec.errors import OptionError
from specdec.options import Sampling
from specdec.processors import FILTERS, PROCESSORS


def read(texts: Sequence[str], **options: Any) -> dict[str, Any]:
    """Read options of `Sampling`: those that are not None, and texts as `NAME=VALUE` with values as JSON writes them.

    Raises:
        OptionError: there is no such option, it is given twice, or its value means nothing.
    """
    changes = {name: value for name, value in options.items() if value is not None}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in PROCESSORS.keys() | FILTERS.keys():
            known = ", ".join(sorted(PROCESSORS.keys() | FILTERS.keys()))
            raise OptionError(f"expected NAME=VALUE with one of the names {known}; got {text!r}")
        if name in changes:
            raise OptionError(f"expected {name} once, got it twice, the second time as {text!r}")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            raise OptionError(f"expected a value as JSON writes it, such as 3 or [[1, 2]], got {text!r}") from None
    Sampling(**changes)  # whose errors come before a model is loaded
    return changes
