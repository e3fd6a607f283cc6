"""Whether a text may be Python, as far as it goes."""

from codeop import compile_command


def parses(text: str) -> bool:
    """Say whether a module may begin like this; the last line, which may be cut off, is not looked at."""
    try:
        compile_command(text[: text.rfind("\n") + 1], symbol="exec")
    except (SyntaxError, ValueError, OverflowError):
        return False
    return True
