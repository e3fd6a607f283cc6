"""Stop strings in streamed text."""

from collections.abc import Sequence

from attrs import define


@define
class StopText:
    """Passes text on up to the first complete stop string; holds back what may be the beginning of one."""

    strings: Sequence[str]
    stopped: bool = False
    _waiting: str = ""

    def add(self, piece: str, *, last: bool) -> str:
        """Add generated text, and return what can be passed on; if `last`, all of it."""
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
        """The number of characters at the end of the text with which a stop string may begin."""
        sizes = (size for string in self.strings for size in range(1, len(string)) if text.endswith(string[:size]))
        return max(sizes, default=0)
