"""Whether an unfinished text is Python so far."""

from codeop import compile_command


def parses(text: str) -> bool:
    """Say whether a text, without its last line, is a valid beginning of a Python module."""
    try:
        compile_command(text[: text.rfind("\n") + 1], symbol="exec")
    except (SyntaxError, ValueError, OverflowError):
        return False
    return True
