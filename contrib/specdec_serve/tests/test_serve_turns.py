"""Tenants take turns, and queues have an end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from specdec_serve.turns import Overloaded, Turns


async def settle() -> None:
    """Let all run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


class Request:
    """Holds its turn until it is told to end."""

    def __init__(self, turns: Turns, tenant: str, log: list[str], name: str = "") -> None:
        self.over = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(turns, tenant, log, name or tenant))

    async def _run(self, turns: Turns, tenant: str, log: list[str], name: str) -> None:
        async with turns.turn(tenant):
            log.append(name)
            await self.over.wait()


def test_tenants_are_served_in_turn() -> None:
    async def scene() -> None:
        turns, log = Turns(1, 10), list[str]()
        requests = {name: Request(turns, tenant, log, name) for name, tenant in zip("abcdXY", "aaaaxx", strict=True)}
        for _ in requests:
            await settle()
            requests[log[-1]].over.set()
        await asyncio.gather(*(one.task for one in requests.values()))

        assert log == ["a", "b", "X", "c", "Y", "d"]
        assert (turns.running, turns.waiting.total()) == (0, 0)

    run(scene)


def test_who_floods_waits_alone() -> None:
    """Four times as much as may run: the queue keeps its limit, all that were let in end, another tenant waits once."""

    async def scene() -> None:
        turns, log = Turns(2, 3), list[str]()
        flood = [Request(turns, "flood", log) for _ in range(20)]
        await settle()
        other = Request(turns, "other", log)
        await settle()
        assert turns.waiting == {"flood": 3, "other": 1}
        refused = [one.task.exception() for one in flood if one.task.done()]
        assert len(refused) == 15
        assert all(isinstance(error, Overloaded) for error in refused)

        for one in (*flood, other):
            one.over.set()
        await asyncio.gather(*(one.task for one in flood if not one.task.done()), other.task)
        assert log[:2] == ["flood", "flood"]
        assert "other" in log[2:4]
        assert (turns.running, turns.waiting.total()) == (0, 0)

    run(scene)


@pytest.mark.parametrize("phase", ["waiting", "let in", "running"])
def test_who_leaves_gives_his_turn_away(phase: str) -> None:
    async def scene() -> None:
        turns, log = Turns(1, 10), list[str]()
        first, leaver, last = (Request(turns, tenant, log) for tenant in ("first", "leaver", "last"))
        await settle()
        if phase != "waiting":
            first.over.set()
            await first.task
        if phase == "running":
            await settle()
        leaver.task.cancel()
        first.over.set()
        last.over.set()
        await asyncio.gather(first.task, leaver.task, last.task, return_exceptions=True)

        assert log[-1] == "last"
        assert (turns.running, turns.waiting.total()) == (0, 0)

    run(scene)
