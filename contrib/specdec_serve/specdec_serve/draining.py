"""The server process, which shuts down gracefully."""

import asyncio
import signal
import time
from collections.abc import Callable
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from rich.console import Console

from specdec_serve.app import app
from specdec_serve.service import Service

LAST = 5.0
"""Most seconds for requests that are ended to say so."""


class Draining(uvicorn.Server):
    """A uvicorn server that drains: after a signal it accepts nothing new, lets answers finish, and stops.

    uvicorn itself closes all sockets at the first signal. Here the first signal begins the drain, of at most `grace`
    seconds, and a second one ends that time.
    """

    def __init__(self, service: Service, grace: float, **options: Any) -> None:
        """Serve a service; `options` are uvicorn's."""
        fixed = {"ws": "websockets-sansio", "ws_per_message_deflate": False, "lifespan": "off", "access_log": False}
        limits = {"ws_max_size": service.host.server.limits.message_bytes, "timeout_graceful_shutdown": 1}
        super().__init__(uvicorn.Config(app(service), **{**fixed, **limits, "log_level": "warning", **options}))
        self.service, self.grace = service, grace

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            console, scheme = Console(stderr=True, highlight=False), "https" if self.config.is_ssl else "http"
            console.print(
                f"{self.service.name} at {scheme}://{self.address}, drafters come to {scheme.replace('http', 'ws')}://{self.address}"
            )

    @property
    def address(self) -> str:
        """Host and port, once the server listens."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.service.draining:
            self.should_exit = True
            if sig == signal.SIGINT:
                self.force_exit = True
        self.service.draining = True

    async def on_tick(self, counter: int) -> bool:
        if self.service.draining and not self.force_exit:
            await self._drain()
            self.should_exit = True
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        """Wait for running requests, then end those that are left, and send remote drafters away."""
        loop, service = asyncio.get_running_loop(), self.service
        await self._finish(self.grace, lambda: self.should_exit)
        service.drafting.stopped = True  # before its jobs are sent away too, or they would come back
        told = loop.create_future()
        service.host.submit(lambda: service.host.server.drain(0.0))
        service.host.submit(lambda: loop.call_soon_threadsafe(told.set_result, None))
        await told
        await self._finish(LAST, lambda: self.force_exit)

    async def _finish(self, seconds: float, enough: Callable[[], bool]) -> None:
        """Wait for running requests, at most so long, or until it is `enough`."""
        until = time.monotonic() + seconds
        while self.service.turns.running and time.monotonic() < until and not enough():
            await asyncio.sleep(0.05)
