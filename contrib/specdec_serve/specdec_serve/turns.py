"""Scheduling of completion requests: a limited number at a time, tenants in turn."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define, field

from specdec.errors import SpecdecError


class Overloaded(SpecdecError):
    """Raised when too many of a tenant's requests are waiting; a later attempt may succeed."""


@define(eq=False)
class Turns:
    """Lets `at_once` requests run at a time; waiting ones are served round-robin by tenant, each tenant's in order."""

    at_once: int
    tenant_waiting: int
    running: int = field(default=0, init=False)
    _waiting: OrderedDict[str, deque[asyncio.Future[None]]] = field(factory=OrderedDict, init=False)

    @property
    def waiting(self) -> Counter[str]:
        """The number of waiting requests, by tenant."""
        return Counter({tenant: len(queue) for tenant, queue in self._waiting.items()})

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while inside.

        Raises:
            Overloaded: `tenant_waiting` of this tenant's requests are waiting already.
        """
        if self.running >= self.at_once:
            await self._wait(tenant)
        else:
            self.running += 1
        try:
            yield
        finally:
            self._end()

    async def _wait(self, tenant: str) -> None:
        queue = self._waiting.setdefault(tenant, deque())
        if len(queue) >= self.tenant_waiting:
            raise Overloaded(f"expected at most {self.tenant_waiting} requests to wait, got one more; try again later")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end()  # it got its turn just as it was cancelled
            elif turn in self._waiting.get(tenant, ()):
                self._waiting[tenant].remove(turn)
            raise

    def _end(self) -> None:
        """Pass the turn on to the tenant that was served longest ago."""
        while self._waiting:
            tenant, queue = self._waiting.popitem(last=False)
            turn = queue.popleft() if queue else None
            if queue:
                self._waiting[tenant] = queue
            if turn is not None and not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
