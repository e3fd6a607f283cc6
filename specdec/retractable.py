"""Text of which a part may be taken back."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from specdec.text import TextStream, in_common


class RetractableText:
    """Gives a sequence's text as its tokens come, those that are not verified yet included."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int] = ()) -> None:
        self._verified = TextStream(tokenizer, prompt)
        self._tokens = list[int]()
        """Tokens that are not verified, and their text as far as it was given."""
        self._text = ""

    def add(self, tokens: Sequence[int], last: bool, *, verified: bool = True, retracted: int = 0) -> tuple[int, str]:
        """Take tokens in place of the last `retracted`; say how many characters are taken back, and give those after.

        Once tokens are verified, so are those before them.
        """
        if verified and not self._tokens:
            return 0, self._verified.add(tokens, last) if tokens else ""
        unverified = [*self._tokens[: len(self._tokens) - retracted], *tokens]
        stream = self._verified if verified else self._verified.copy()
        before, text = self._text, stream.add(unverified, last)
        self._tokens, self._text = ([], "") if verified else (unverified, text)
        common = in_common(before, text)
        return len(before) - common, text[common:]
