"""Sessions share passes, and prompts are read in chunks between them."""

from random import Random
from typing import Any

import pytest
from attrs import define
from torch import Tensor

from specdec import Sampling
from specdec.target import Engine
from specdec.target.sessions import CHUNK, Sessions
from tests.plain import decode_plainly
from tests.specdec.grid import SAMPLINGS
from tests.specdec.target.alone import COUNT, NEEDS, Alone, opened
from tests.toys import build, prompt, tiny


@define
class Passes:
    """Counts what an engine reads: sessions and tokens of each pass, and whether logits were wanted."""

    engine: Engine
    seen: list[tuple[int, int, bool]]

    @staticmethod
    def of(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> "Passes":
        passes, read = Passes(engine, []), engine.read

        def counted(slots: Any, tokens: Tensor, *args: Any, logits: bool = True, **options: Any) -> Any:
            passes.seen.append((len(slots), tokens.shape[0] * tokens.shape[1], logits))
            return read(slots, tokens, *args, logits=logits, **options)

        monkeypatch.setattr(engine, "read", counted)
        return passes


def test_sixteen_sessions_share_each_pass_and_wait_for_one_chunk_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of 900 tokens is read meanwhile, and its session then joins them."""
    model = build("llama", max_position_embeddings=1024)
    long, samplings, random = prompt(900), list(SAMPLINGS.values()) * 2, Random(4)
    texts = [
        decode_plainly(model, tuple(prompt(3 + number)), sampling, COUNT) for number, sampling in enumerate(samplings)
    ]
    sessions = Sessions(Engine(model))
    sixteen = [
        Alone(sessions.open(prompt(3 + number), sampling, NEEDS[number % 5]), prompt(3 + number), text)
        for number, (sampling, text) in enumerate(zip(samplings, texts, strict=True))
    ]
    while any(one.session.unread for one in sixteen):
        sessions.step({})
    late = Alone(sessions.open(long, Sampling(), NEEDS[0]), long, decode_plainly(model, tuple(long), Sampling(), COUNT))
    passes = Passes.of(sessions.engine, monkeypatch)
    for _ in range(4):
        taking_part = [*sixteen, *([] if late.session.unread else [late])]
        trees = {one.session: one.tree(random) for one in taking_part}
        decisions = sessions.step(trees)
        for one in taking_part:
            one.check(trees[one.session], decisions[one.session])

    assert [(rows, logits) for rows, _, logits in passes.seen] == [
        (16, True),
        (1, False),
        (16, True),
        (1, False),
        (17, True),
        (17, True),
    ]
    assert all(tokens <= CHUNK for _, tokens, logits in passes.seen if not logits)
    assert late.said > 1


def test_prompts_share_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three prompts are read in three passes, none of more tokens than the budget; those of one token in none."""
    sessions = Sessions(Engine(tiny()))
    alone = [opened(sessions, prompt(size), Sampling()) for size in (25, 1, 19, 25)]
    passes = Passes.of(sessions.engine, monkeypatch)
    for _ in range(4):
        sessions.step({}, budget=24)

    assert [seen for seen in passes.seen if seen[1] > 24] == []
    assert [rows for rows, _, _ in passes.seen] == [3, 3, 3]
    assert [one.session.unread for one in alone] == [0] * 4
