"""What an unlucky user meets: other servers than before, servers that stop, prompts that break a target."""

from typing import Any

import pytest

from specdec import Decoder, Drafter, Sampling, Stop, TreePolicy
from specdec.context import Context
from specdec.drafters import NoDrafter
from specdec.errors import ModelError
from specdec.remote import Remote
from specdec.split import Server
from specdec.tree import Tree
from tests.remote.hosts import Lines, toy

PROMPT = [5, 6, 7, 5, 6, 7, 5, 6]
TARGET = toy()


class Counts(Drafter):
    """Drafts four tokens that count up from the last one."""

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        return [None if done else self._draft(context, number) for number, done in enumerate(context.done)]

    def _draft(self, context: Context, number: int) -> Tree:
        last = context.tokens[number][-1]
        tree = Tree.root(last)
        for depth in range(min(4, context.room[number])):
            tree = tree.place([((last + depth) % 50 + 1, depth, 0.0)])
        return tree


def remote(lines: Lines, **options: Any) -> Remote:
    return Remote(lines.connect, clock=lines.clock, sleep=lines.sleep, **{"patience": 1.0, **options})


def wanted(prompts: list[list[int]], length: int, sampling: Sampling = Sampling()) -> object:  # noqa: B008
    return Decoder(NoDrafter(), TARGET).generate(prompts, sampling, Stop(max_tokens=length)).tokens


def test_a_prompt_that_breaks_the_target_breaks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    target = toy()
    read = target.sessions.engine.read

    def fragile(slots: Any, tokens: Any, *rest: Any, **options: Any) -> Any:
        if 9 in [int(token) for row in tokens for token in row]:
            raise RuntimeError("out of memory")
        return read(slots, tokens, *rest, **options)

    monkeypatch.setattr(type(target.sessions.engine), "read", staticmethod(fragile))
    lines = Lines(Server.of(target))
    other = remote(lines)
    other.prefill([[4, 5, 6]], NoDrafter().needs, [Sampling()])
    other.link.poll()

    with pytest.raises(ModelError, match="RuntimeError"):
        Decoder(NoDrafter(), remote(lines)).generate([[5, 9, 6]], stop=Stop(max_tokens=3))

    assert len(lines.server.store) == 1
    assert other.verify([Tree.root(6)]).tokens[0]
