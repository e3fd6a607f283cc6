"""Why a message is refused, where an exception says so."""

from specdec.errors import ModelError, OptionError, PluginError, PromptError, SpecdecError, TreeError
from specdec.split.messages import Code

CODES: dict[type[Exception], Code] = {
    TreeError: Code.TREE,
    PromptError: Code.PROMPT,
    OptionError: Code.OPTION,
    PluginError: Code.OPTION,
    ModelError: Code.MODEL,
}


def reason(error: Exception) -> tuple[Code, str]:
    """Give a refusal's code and detail; of an error that is not specdec's own, the client learns its type only."""
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), Code.INTERNAL)
    return code, str(error) if isinstance(error, SpecdecError) else type(error).__name__
