"""A chat template as what stands around a user's turn."""

from attrs import frozen
from transformers import PreTrainedTokenizerBase

from specdec import OptionError

MARK = "\N{WHITE SQUARE}\N{BLACK SQUARE}"
"""A user's turn that stands in no template."""


@frozen
class Layout:
    """Text before a user's turn, text between it and the answer, and the token that ends either."""

    tokenizer: PreTrainedTokenizerBase
    before: str
    after: str
    end: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "Layout":
        """Find the parts around a user's turn.

        Raises:
            OptionError: there is no chat template, it does not lay the turn out once as it is, or nothing ends it.
        """
        if not tokenizer.chat_template or tokenizer.eos_token_id is None:
            raise OptionError("expected a chat model, whose tokenizer has a template and an end token, got another")
        turns = [{"role": "user", "content": MARK}]
        before, mark, after = str(
            tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        ).partition(MARK)
        if not mark or MARK in after:
            raise OptionError("expected a chat template with a user's turn as it is, got one that changes it")
        return cls(tokenizer, before, after, int(tokenizer.eos_token_id))

    def prompt(self, question: str) -> str:
        """Give the text that an answer continues."""
        return self.before + question + self.after

    def question(self, prompt: str) -> str:
        """Give the question in such a text."""
        return prompt.removeprefix(self.before).removesuffix(self.after)

    def tokens(self, text: str) -> list[int]:
        """Encode a text that has the template's tokens in it."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, tokens: list[int]) -> str:
        """Decode tokens, the template's as well."""
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
