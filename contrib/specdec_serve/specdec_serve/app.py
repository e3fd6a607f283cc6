"""The app: one port for drafters elsewhere, and for those who watch over it."""

from collections.abc import Mapping
from hmac import compare_digest

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from specdec.remote import Host
from specdec_serve.line import Line


def app(host: Host, tokens: Mapping[str, str] | None = None) -> Starlette:
    """Serve what a host serves; `tokens` are the tenants by their bearer tokens, without which anyone may come."""

    async def split(socket: WebSocket) -> None:
        tenant = tenant_of(socket, tokens)
        if tenant is None:
            await socket.close(code=1008)  # before it is accepted: HTTP 403, and nothing was allocated
            return
        await socket.accept()
        await Line(host, socket, tenant).serve()

    async def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        draining = host.server.draining
        return PlainTextResponse("draining\n" if draining else "ok\n", 503 if draining else 200)

    routes = [WebSocketRoute("/v1/split", split), Route("/healthz", alive), Route("/readyz", ready)]
    return Starlette(routes=routes)


def tenant_of(connection: HTTPConnection, tokens: Mapping[str, str] | None) -> str | None:
    """Find who comes with a bearer token; None if nobody does. All tokens are compared, and each in constant time."""
    if tokens is None:
        return ""
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    found = [tenant for token, tenant in tokens.items() if compare_digest(token.encode(), given.strip().encode())]
    return found[0] if found and scheme.lower() == "bearer" else None
