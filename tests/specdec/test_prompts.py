"""Prompts of every kind say what they mean, or that they are none."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import config
from transformers import BatchEncoding

from specdec import Decoder, Stop, Target
from specdec.drafters import NoDrafter
from specdec.errors import PromptError
from specdec.text import batch, encode
from tests.toys import build, byte_tokenizer, tiny

ONE = [3, 1, 2]
TWO = [[3, 1, 2], [5, 4]]
PADDED = [[3, 1, 2], [0, 5, 4]], [[1, 1, 1], [0, 1, 1]]


@pytest.fixture(autouse=True)
def as_a_user_calls() -> Iterator[None]:
    """Arguments are not checked as in other tests, for users may give anything."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (ONE, [ONE]),
        (tuple(ONE), [ONE]),
        (np.array(ONE), [ONE]),
        (np.array(ONE, dtype=np.uint16), [ONE]),
        (torch.tensor(ONE), [ONE]),
        (torch.tensor(ONE, dtype=torch.int32), [ONE]),
        (list(np.array(ONE)), [ONE]),
        (list(torch.tensor(ONE)), [ONE]),
        ([3, np.int32(1), torch.tensor(2)], [ONE]),
        ([ONE], [ONE]),
        (np.array([ONE]), [ONE]),
        (torch.tensor([ONE, ONE]), [ONE, ONE]),
        ([torch.tensor([ONE])], [ONE]),
        (TWO, TWO),
        (tuple(map(tuple, TWO)), TWO),
        ([np.array(row) for row in TWO], TWO),
        ([torch.tensor(TWO[0]), TWO[1]], TWO),
        (["a", ONE], ["a", ONE]),
        (("a", "b"), ["a", "b"]),
        (np.str_("a"), ["a"]),
        ([], []),
        (BatchEncoding({"input_ids": ONE}), [ONE]),
        (BatchEncoding({"input_ids": ONE, "attention_mask": [1, 1, 1]}), [ONE]),
        (BatchEncoding({"input_ids": ONE, "attention_mask": [0, 1, 1]}), [ONE[1:]]),
        (BatchEncoding({"input_ids": ONE, "attention_mask": None}), [ONE]),
        (BatchEncoding({"input_ids": TWO, "attention_mask": [[1, 1, 1], [1, 1]]}), TWO),
        (BatchEncoding({"input_ids": PADDED[0], "attention_mask": PADDED[1]}), TWO),
        (BatchEncoding({"input_ids": PADDED[0], "attention_mask": PADDED[1]}, tensor_type="pt"), TWO),
        (BatchEncoding({"input_ids": PADDED[0], "attention_mask": PADDED[1]}, tensor_type="np"), TWO),
        ([BatchEncoding({"input_ids": ONE}), "b"], [ONE, "b"]),
    ],
)
def test_prompts_are_what_they_say(prompts: Any, expected: list[Any]) -> None:
    assert batch(prompts) == expected


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [None, "pt", "np"])
def test_what_a_tokenizer_gives_is_read_by_its_mask(side: str, kind: str | None) -> None:
    tokenizer, texts = byte_tokenizer(), ["abc", "x", "a b c"]
    tokenizer.pad_token = "!"
    try:
        padded = tokenizer(texts, padding=True, padding_side=side, return_tensors=kind)
    finally:
        tokenizer.pad_token = None
    decoder = Decoder(NoDrafter(), Target(build("llama", vocab_size=len(tokenizer)), tokenizer))

    assert decoder.generate(padded, stop=Stop(4, tokens=())) == decoder.generate(texts, stop=Stop(4, tokens=()))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (None, "got NoneType: None"),
        (b"abc", "got bytes: b'abc'"),
        ({1, 2}, "got set: {1, 2}"),
        ({"input_ids": ONE}, "got dict: {'input_ids'"),
        ({"role": "user", "content": "a"}, "got dict"),
        ((ONE for _ in range(2)), "got generator"),
        (map(str, ONE), "got map"),
        (5, "got int: 5"),
        (True, "got bool: True"),
        (1.0, "got float: 1.0"),
        ([True, False], "got bool: True as prompt 0"),
        ([1, 2.0], r"got list: \[1, 2.0\]"),
        ([1.0, 2.0], "got float: 1.0 as prompt 0"),
        ([1, None], r"got list: \[1, None\]"),
        ([None], "got NoneType: None as prompt 0"),
        (["a", None], "got NoneType: None as prompt 1"),
        ([b"a"], "got bytes: b'a' as prompt 0"),
        ([ONE, b"a"], "got bytes: b'a' as prompt 1"),
        ([[ONE]], r"got list: \[\[3, 1, 2\]\] as prompt 0"),
        ([ONE, [1, "a"]], r"got list: \[1, 'a'\] as prompt 1"),
        ([["a", "b"]], r"got list: \['a', 'b'\] as prompt 0"),
        ([TWO], "as prompt 0"),
        ([{"content": "a"}], "got dict: {'content': 'a'} as prompt 0"),
        (np.array([1.0, 2.0]), r"shape \[T\] or \[B, T\], got \[2\] of float64"),
        (np.array([True]), r"got \[1\] of bool"),
        (np.array(["a"]), r"got \[1\] of <U1"),
        (np.zeros((1, 2, 3), dtype=int), r"got \[1, 2, 3\] of int64"),
        (np.array(3), r"got \[\] of int64"),
        (torch.tensor([0.5]), r"got \[1\] of torch.float32"),
        (torch.tensor([True]), r"got \[1\] of torch.bool"),
        (torch.zeros(1, 1, 1, dtype=torch.long), r"got \[1, 1, 1\] of torch.int64"),
        ([torch.tensor(TWO[:1] * 2)], "torch.Tensor: .* as prompt 0"),
        (BatchEncoding({"attention_mask": [1]}), "expected input_ids"),
        (BatchEncoding({"input_ids": ONE, "attention_mask": [1, 1]}), "attention_mask of the same shape"),
        (BatchEncoding({"input_ids": TWO, "attention_mask": [[1, 1, 1]]}), "attention_mask of the same shape"),
        (BatchEncoding({"input_ids": ONE, "attention_mask": 1}), "attention_mask of the same shape"),
        (BatchEncoding({"input_ids": ["a"]}), "expected input_ids"),
        (torch.tensor([ONE]).to_sparse(), "token ids that can be read, got torch.Tensor"),
        (torch.tensor(ONE, device="meta"), "token ids that can be read, got torch.Tensor"),
        (BatchEncoding({"input_ids": ONE, "attention_mask": [0, 0, 0]}), "at least one token"),
        (torch.zeros(2, 0, dtype=torch.long), "at least one token"),
        ([[]], r"at least one token, got \[\]"),
        ([], "at least one prompt, got none"),
    ],
)
def test_anything_else_is_named_and_refused(prompts: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Decoder(NoDrafter(), Target(tiny())).generate(prompts, stop=Stop(3))


def test_text_that_a_tokenizer_cannot_read() -> None:
    tokenizer = byte_tokenizer()
    with pytest.raises(PromptError, match="no chat template; got"):
        encode([{"role": "user", "content": "a"}], tokenizer)
    with pytest.raises(PromptError, match=r"expected text, got half a character at 1 of 'a\\ud800'"):
        encode("a\ud800", tokenizer)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    try:
        with pytest.raises(PromptError, match="roles must alternate"):
            encode([{"role": "user", "content": "a"}], tokenizer)
    finally:
        tokenizer.chat_template = None
