"""The web app: one port for remote drafters, OpenAI clients and monitoring."""

from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from specdec_serve.line import Line
from specdec_serve.openai import OpenAI
from specdec_serve.origin import FOREIGN
from specdec_serve.service import Service


def app(service: Service) -> Starlette:
    """Route a service's paths: `/v1/split` for drafters, the OpenAI endpoints, health checks and metrics."""
    openai = OpenAI(service)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        return PlainTextResponse("draining\n", 503) if service.draining else PlainTextResponse("ok\n")

    async def metrics(request: Request) -> Response:
        if service.tenants.find(request.headers.get("authorization")) is None:
            return PlainTextResponse("expected a valid bearer token\n", 401)
        service.metrics["requests_running"].set(service.turns.running)
        service.metrics["requests_waiting"].set(service.turns.waiting.total())
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return Starlette(
        routes=[
            WebSocketRoute("/v1/split", partial(_split, service)),
            Route("/v1/models", openai.models),
            Route("/v1/models/{name:path}", openai.models),
            Route("/v1/completions", openai.completions, methods=["POST"]),
            Route("/v1/chat/completions", openai.chat, methods=["POST"]),
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route("/metrics", metrics),
        ],
        exception_handlers={HTTPException: openai.unknown},
    )


async def _split(service: Service, socket: WebSocket) -> None:
    """Serve a remote drafter, if it may connect."""
    authorization = socket.headers.get("authorization")
    tenant = service.tenants.find(authorization)
    if tenant is None:
        await socket.close()  # before it is accepted, which sends HTTP 403 and allocates nothing
    elif service.is_foreign(socket.headers):
        await socket.send_denial_response(PlainTextResponse(f"{FOREIGN}\n", 403))
    elif service.draining:
        await socket.send_denial_response(PlainTextResponse("draining\n", 503, {"Retry-After": "1"}))
    else:
        await socket.accept()

        def admitted() -> bool:
            return service.tenants.find(authorization) == tenant

        await Line(service.host, socket, tenant, service.metrics["frame_bytes"], admitted).serve()
