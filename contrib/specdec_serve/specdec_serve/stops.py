"""Text without the strings that end it."""

from collections.abc import Sequence

from attrs import define


@define
class StopText:
    """Passes text on up to the stop string that is complete first, and keeps back what may be the beginning of one."""

    strings: Sequence[str]
    stopped: bool = False
    _waiting: str = ""

    def add(self, piece: str, *, last: bool) -> str:
        """Take what was generated next, and give what is certain to be text."""
        if self.stopped:
            return ""
        text = self._waiting + piece
        found = [(text.find(string) + len(string), text.find(string)) for string in self.strings if string in text]
        if found:
            self.stopped, self._waiting = True, ""
            return text[: min(found)[1]]
        end = len(text) if last else len(text) - self._beginning(text)
        self._waiting = text[end:]
        return text[:end]

    def _beginning(self, text: str) -> int:
        """Count the characters at the end of a text that a stop string may begin with."""
        sizes = (size for string in self.strings for size in range(1, len(string)) if text.endswith(string[:size]))
        return max(sizes, default=0)
