"""Servers in this process, for tests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from threading import Thread
from typing import Any

import torch
from specdec_serve import Draining, Service
from transformers import PreTrainedTokenizerFast

from specdec import Decoder, Sampling, Stop, Target, load_drafter
from specdec.remote import Tenants
from specdec.spec import Spec
from tests.toys import build, byte_tokenizer

NAME = "toy"
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
RIGHT, OTHER = "alice-has-a-long-token", "bob-has-a-long-token-too"
TENANTS = Tenants.of({RIGHT: "alice", OTHER: "bob"})


def tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer with a chat template."""
    made = deepcopy(byte_tokenizer())
    made.chat_template = TEMPLATE
    return made


def target() -> Target:
    """Make a target that ends its texts now and then."""
    options = {"vocab_size": len(byte_tokenizer()), "eos_token_id": 13, "max_position_embeddings": 512}
    return Target(build("llama", dtype=torch.float64, seed=1, initializer_range=0.3, **options), tokenizer=tokenizer())


@contextmanager
def serving(model: Target, drafters: Sequence[Spec] = (Spec.parse("ngram"),), **options: Any) -> Iterator[Service]:
    """Serve a target, with `ngram` unless other drafters are named."""
    service = Service.of(model, drafters, name=NAME, **options)
    try:
        yield service
    finally:
        service.close()


@contextmanager
def listening(service: Service, grace: float = 5.0, **options: Any) -> Iterator[Draining]:
    """Serve on a socket, in a thread."""
    server = Draining(service, grace, port=0, **options)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join()


def plain(model: Target, prompt: list[int], sampling: Sampling, stop: Stop) -> tuple[str, int]:
    """Decode without drafts, and without a server: text, and number of tokens."""
    found = Decoder(load_drafter("none"), model).generate([prompt], sampling, stop)
    assert found.text is not None
    return found.text[0], len(found.tokens[0])
