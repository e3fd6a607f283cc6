"""The OpenAI endpoints: models, completions and chat completions, whole or as server-sent events."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import anyio
import msgspec
from attrs import define, field
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from specdec.errors import OptionError, PromptError, SpecdecError, TransportError
from specdec_serve.generation import Piece
from specdec_serve.origin import FOREIGN
from specdec_serve.replies import Reply, failure
from specdec_serve.requests import Body, ChatRequest, CompletionRequest, Job, read_body, read_job
from specdec_serve.service import Service
from specdec_serve.turns import Overloaded

T = TypeVar("T")
GONE = 499
"""The HTTP status, for the metrics only, if the client went away."""
logger = logging.getLogger(__name__)


@define(eq=False)
class Refusal(Exception):
    """An error with its HTTP status, and OpenAI's type (`kind`) and code."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None


def refusal(error: Exception) -> Refusal:
    """Give the HTTP error for an exception."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, PromptError | OptionError):
        return Refusal(400, str(error))
    if isinstance(error, Overloaded):
        return Refusal(429, str(error), "overloaded", "rate_limit_exceeded")
    if isinstance(error, TransportError):
        return Refusal(503, str(error), "overloaded")
    logger.error("a request failed", exc_info=error)
    return Refusal(500, str(error) if isinstance(error, SpecdecError) else type(error).__name__, "server_error")


@define(eq=False)
class OpenAI:
    """Answers the requests to one service."""

    service: Service
    _created: int = field(factory=lambda: int(time.time()), init=False)

    async def models(self, request: Request) -> Response:
        """List the service's one model, or describe it if the path names it."""
        name = request.path_params.get("name")
        try:
            self._admit(request)
            self._check_model(self.service.name if name is None else name)
        except Refusal as error:
            return self._refused(error)
        model = {"id": self.service.name, "object": "model", "created": self._created, "owned_by": "specdec"}
        return self._json({"object": "list", "data": [model]} if name is None else model)

    async def completions(self, request: Request) -> Response:
        """Continue texts."""
        return await self._answer(request, CompletionRequest, "text_completion")

    async def chat(self, request: Request) -> Response:
        """Answer a chat."""
        return await self._answer(request, ChatRequest, "chat.completion")

    async def unknown(self, request: Request, error: Exception) -> Response:
        """Answer a request for a path or a method that does not exist; `error` is starlette's."""
        status, headers = (error.status_code, error.headers or {}) if isinstance(error, HTTPException) else (500, {})
        detail = f"expected a path and a method that this server has, got {request.method} {request.url.path}"
        return self._json(failure(detail, "invalid_request_error"), status, **headers)

    async def _answer(self, request: Request, kind: type[Body], name: str) -> Response:
        try:
            tenant = self._admit(request)
            body = await self._read(request, kind)
            job = await run_in_threadpool(self._job, body)
            asked = sum(map(len, job.prompts[:: body.n]))
            reply, pieces = Reply(name, self.service.name, asked, len(job.prompts)), self._pieces(job, tenant)
            if not body.stream:
                whole = await _unless_gone(request, _collect(pieces, reply))
                return self._json(whole) if whole is not None else self._gone()
            first = await _unless_gone(request, _next(pieces))
            if first is None:
                return self._gone()
        except ClientDisconnect:
            return self._gone()
        except Exception as error:
            return self._refused(refusal(error))
        self.service.metrics["requests"](status=200).inc()
        usage = body.stream_options is not None and body.stream_options.include_usage
        events = _events(first, pieces, reply, usage=usage)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    def _admit(self, request: Request) -> str:
        if self.service.is_foreign(request.headers):
            raise Refusal(403, FOREIGN, "authentication_error")
        tenant = self.service.tenants.find(request.headers.get("authorization"))
        if tenant is None:
            raise Refusal(401, "expected a valid bearer token", "authentication_error", "invalid_api_key")
        if self.service.draining:
            raise Refusal(503, "the server is stopping; try another", "overloaded")
        return tenant

    async def _read(self, request: Request, kind: type[Body]) -> Body:
        most, data = self.service.host.server.limits.message_bytes, b""
        async for part in request.stream():
            data += part
            if len(data) > most:
                raise Refusal(413, f"expected a body of at most {most} bytes, got more")
        try:
            body = read_body(data, kind)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"expected a valid body: {error}") from error
        self._check_model(body.model)
        return body

    def _check_model(self, name: str) -> None:
        if name != self.service.name:
            raise Refusal(404, f"expected the model {self.service.name!r}, got {name!r}", code="model_not_found")

    def _job(self, body: CompletionRequest | ChatRequest) -> Job:
        target, limits = self.service.target, self.service.host.server.limits
        if target.tokenizer is None:
            raise OptionError("expected a target with a tokenizer, got one without")
        return read_job(body, target.tokenizer, target.generation_config, limits.tenant_sessions)

    async def _pieces(self, job: Job, tenant: str) -> AsyncIterator[Piece]:
        """Generate in worker threads, once it is this tenant's turn."""
        metrics, began, first = self.service.metrics, time.monotonic(), True
        async with self.service.turns.turn(tenant):
            steps = self.service.drafting.generate(job, tenant)
            try:
                async for piece in iterate_in_threadpool(steps):
                    now = time.monotonic()
                    if first:
                        metrics["time_to_first_token_seconds"].observe(now - began)
                    elif piece.tokens:
                        metrics["inter_token_latency_seconds"].observe((now - began) / piece.tokens)
                    began, first = now, False
                    yield piece
            finally:
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(steps.close)

    def _json(self, content: dict[str, Any], status: int = 200, **headers: str) -> Response:
        self.service.metrics["requests"](status=status).inc()
        return Response(msgspec.json.encode(content), status, headers, "application/json")

    def _gone(self) -> Response:
        self.service.metrics["requests"](status=GONE).inc()
        return Response(status_code=GONE)

    def _refused(self, error: Refusal) -> Response:
        retry = {"Retry-After": "1"} if error.status in (429, 503) else {}
        return self._json(failure(error.message, error.kind, error.code), error.status, **retry)


async def _collect(pieces: AsyncIterator[Piece], reply: Reply) -> dict[str, Any]:
    async with aclosing(pieces):  # type: ignore[type-var]
        async for piece in pieces:
            reply.add(piece)
    return reply.whole()


async def _events(first: Piece, pieces: AsyncIterator[Piece], reply: Reply, *, usage: bool) -> AsyncIterator[bytes]:
    """The server-sent events of a stream; if it fails, the last one is the error."""
    try:
        async with aclosing(pieces):  # type: ignore[type-var]
            for chunk in reply.first():
                yield _event(chunk)
            piece: Piece | None = first
            while piece is not None:
                reply.add(piece)
                if piece.text or piece.finish:
                    yield _event(reply.chunk(piece))
                piece = await anext(pieces, None)
    except Exception as error:
        told = refusal(error)
        yield _event(failure(told.message, told.kind, told.code))
    else:
        if usage:
            yield _event(reply.last())
        yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(content) + b"\n\n"


async def _next(pieces: AsyncIterator[Piece]) -> Piece:
    return await anext(pieces)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Await `work`; cancel it, and return None, if the client goes away first."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
