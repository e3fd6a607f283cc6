"""`specdec serve`: a target for remote drafters and OpenAI clients."""

import os
from contextlib import closing
from typing import Annotated

from typer import Option

from specdec.cli import options
from specdec.cli.spread import spread
from specdec_serve.address import Address
from specdec_serve.protection import Protection

Drafters = Annotated[
    list[str] | None,
    Option(
        "--drafter",
        metavar="NAME[:PATH][:k=v,...]",
        help="A drafter that clients use, whose encoder then runs here; the first also drafts for /v1/completions. "
        "May be repeated; default: retrieval or moa if installed for the target, else ngram.",
    ),
]
Listen = Annotated[str, Option(metavar="HOST:PORT", help="Where to listen; port 0 is any free one.")]
Also = Annotated[
    list[str] | None,
    Option(metavar="KIND://HOST:PORT", help="Also listen there, in a way that a plugin adds, such as grpc."),
]
Name = Annotated[str | None, Option(metavar="NAME", help="The model's name for clients; default: the target's.")]
Limit = Annotated[
    list[str] | None,
    Option(metavar="NAME=N", help="A limit of specdec.split.Limits, such as tenant_sessions=4. May be repeated."),
]
AtOnce = Annotated[int, Option(metavar="N", min=1, help="Maximum number of completion requests answered at once.")]
Grace = Annotated[float, Option(metavar="SECONDS", min=0, help="How long answers may take to finish after SIGTERM.")]


@spread
def serve(
    target: options.Target = None,
    drafters: Drafters = None,
    listen: Listen = "127.0.0.1:8000",
    also: Also = None,
    name: Name = None,
    policy: Annotated[str, Option(metavar="NAME[:k=v,...]", help="The policy for drafting on the server.")] = "auto",
    at_once: AtOnce = 4,
    limit: Limit = None,
    grace: Grace = 30.0,
    device: options.Device = None,
    weights: options.Weights = "auto",
    protection: Protection = Protection(),  # noqa: B008  (frozen)
) -> None:
    """Serve a target to remote drafters (`specdec generate --remote`) and OpenAI clients.

    One port has /v1/split, a WebSocket; /v1/models, /v1/completions, /v1/chat/completions; /healthz, /readyz, /metrics.

    After SIGTERM answers may finish, and remote drafters continue with another server or alone.
    """
    from specdec.plugins import load_policy
    from specdec_serve.limits import read_limits
    from specdec_serve.listening import Listening, listening

    address, others = Address.parse(listen), [Listening.parse(text) for text in also or ()]
    addresses = [address, *(other.address for other in others)]
    tenants, tls = protection.read(addresses)
    for one in addresses:
        one.check_free()
    limits, shape = read_limits(limit or ()), load_policy(policy)

    from specdec.cli.parts import find_target, load_target, read_drafter, usual_drafter
    from specdec_serve.draining import Draining
    from specdec_serve.service import Service

    folder = find_target(target)
    specs = [read_drafter(spec, target) for spec in drafters or [usual_drafter(target)]]
    model = load_target(folder, "match", device, weights)
    name = name or _name(target)
    service = Service.of(model, specs, name=name, policy=shape, at_once=at_once, limits=limits, tenants=tenants)
    with closing(service), listening(others, service, tls):
        Draining(service, grace, host=address.host, port=address.port, **(tls.options if tls else {})).run()


def _name(target: str | None) -> str:
    """Name a model by its folder or its id on the hub."""
    return os.path.basename(os.path.abspath(target)) if target and os.path.exists(target) else target or "zoo"
