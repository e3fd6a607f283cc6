"""The parts of a server."""

from collections.abc import Mapping, Sequence
from queue import SimpleQueue

from attrs import define, field

from specdec import Drafter, Target, TreePolicy, load_drafter, load_policy
from specdec.remote import Host, Tenants
from specdec.spec import Spec
from specdec.split import Limits
from specdec_serve.generation import Drafting
from specdec_serve.metered import MeteredServer
from specdec_serve.metrics import Metrics
from specdec_serve.origin import is_foreign
from specdec_serve.turns import Turns


@define(eq=False)
class Service:
    """A target with its `host` for remote drafters, and with `drafting` for requests without a drafter.

    `turns` schedules these requests. While `draining` is set, nothing new is accepted.
    """

    name: str
    target: Target
    host: Host
    drafting: Drafting
    turns: Turns
    metrics: Metrics
    tenants: Tenants = field(factory=Tenants)
    draining: bool = False

    @classmethod
    def of(
        cls,
        target: Target,
        drafters: Sequence[Spec] = (),
        *,
        name: str = "target",
        policy: TreePolicy | None = None,
        at_once: int = 4,
        limits: Limits | None = None,
        tenants: Tenants | None = None,
    ) -> "Service":
        """Serve a target with the encoders of all drafters; the first drafter also drafts on the server.

        At most `at_once` requests run at a time, each with its own instance of that drafter.

        Raises:
            SpecdecError: a drafter does not load, or the target's rule is not `match`.
        """
        limits, first = limits or Limits(), drafters[0] if drafters else Spec.parse("none")
        own = [_load(first, target) for _ in range(at_once)]
        metrics = Metrics(name)
        encoders = [own[0], *(_load(spec, target) for spec in drafters[1:])]
        host = Host(MeteredServer.of(target, encoders, limits=limits, metrics=metrics))
        queue = SimpleQueue[Drafter]()
        for drafter in own:
            queue.put(drafter)
        drafting = Drafting(host, target, queue, policy or load_policy("auto"))
        turns = Turns(at_once, limits.tenant_waiting)
        return cls(name, target, host, drafting, turns, metrics, tenants or Tenants())

    def is_foreign(self, headers: Mapping[str, str]) -> bool:
        """Say whether a request is refused because it has no token to show, and comes from a page of elsewhere."""
        return not self.tenants.tickets and is_foreign(headers.get("origin"))

    def close(self) -> None:
        """Stop serving."""
        self.host.close()


def _load(spec: Spec, target: Target) -> Drafter:
    return load_drafter(spec.name, spec.path, target, **spec.options)
