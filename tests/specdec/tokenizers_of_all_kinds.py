"""Small tokenizers of every decoder that there is, as published models have them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import specdec_zoo
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.toys import byte_tokenizer

B = "\u2581"
SPECIAL = ["<s>", "</s>", "<|tool|>"]
BYTES = [f"<0x{byte:02X}>" for byte in sorted({0x41, 0x20, *"é€😀\ufffd".encode(), 0xFF})]
WORDS = ["the", "cat", ".", ",", "'", "n't", "'s", "'", "a", "\ufffd", "\n"]
PIECES = [B, B + B, *(B + word for word in WORDS), *dict.fromkeys(WORDS), f"a{B}b"]
REPLACED = decoders.Replace(B, " ")
FUSED = [REPLACED, decoders.ByteFallback(), decoders.Fuse()]
STRIPPED = decoders.Strip(content=" ", left=1)


def words(vocabulary: Sequence[str], decoder: Any, **options: Any) -> PreTrainedTokenizerFast:
    """Make a tokenizer of a vocabulary and a decoder."""
    vocab = {word: place for place, word in enumerate(dict.fromkeys([*SPECIAL, "<unk>", *vocabulary]))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.decoder = decoder
    specials = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "extra_special_tokens": ["<|tool|>"]}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials, **options)


def with_special_tokens() -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(byte_tokenizer().backend_tokenizer.to_str())
    )
    tokenizer.add_special_tokens({"extra_special_tokens": SPECIAL})
    return tokenizer


MAKERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "bytes, as GPT-2": with_special_tokens,
    "pieces, as Llama 2": lambda: words(PIECES + BYTES, decoders.Sequence([*FUSED, STRIPPED])),
    "pieces, as Gemma": lambda: words(PIECES + BYTES, decoders.Sequence(FUSED)),
    "metaspace, as T5": lambda: words(PIECES, decoders.Metaspace(prepend_scheme="always")),
    "metaspace, first": lambda: words(PIECES, decoders.Metaspace(prepend_scheme="first")),
    "pieces, cleaned up": lambda: words(PIECES, decoders.Metaspace(), clean_up_tokenization_spaces=True),
    "word pieces, as BERT": lambda: words([*WORDS, *(f"##{word}" for word in WORDS)], decoders.WordPiece()),
    "word pieces, cleaned up": lambda: words(
        [*WORDS, *(f"##{word}" for word in WORDS)], decoders.WordPiece(cleanup=False), clean_up_tokenization_spaces=True
    ),
    "word ends, as GPT": lambda: words([*WORDS, *(f"{word}</w>" for word in WORDS)], decoders.BPEDecoder()),
    "no token twice, as CTC": lambda: words(["<pad>", "|", *"abc", "'", "."], decoders.CTC()),
    "the zoo's": lambda: AutoTokenizer.from_pretrained(specdec_zoo.path("target")),
}


@cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    return MAKERS[kind]()
