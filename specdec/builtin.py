"""What specdec itself brings, registered as any plugin is."""

from typing import Any

from specdec.drafters import Ngram, NoDrafter, Retrieval, SmallModel
from specdec.errors import OptionError
from specdec.hookspecs import Register, hookimpl
from specdec.interfaces import Rule, Transport, Verifier
from specdec.policies import Adaptive, Auto, Chain, Dynamic, Hybrid, Sequoia, Static
from specdec.rules import Lenient, Match, Rejection, Traversal, Typical
from specdec.target import Target
from specdec.target.loading import Name
from specdec.target.smollm2 import smollm2


@hookimpl
def register_drafters(register: Register) -> None:
    register("none", NoDrafter)
    register("ngram", Ngram)
    register("retrieval", Retrieval.load)
    register("small_model", _small_model)


@hookimpl
def register_verifiers(register: Register) -> None:
    register("local", _local)
    register("remote", _remote)


@hookimpl
def register_transports(register: Register) -> None:
    register("local", _line)


@hookimpl
def register_policies(register: Register) -> None:
    register("chain", Chain)
    register("static", Static)
    register("dynamic", Dynamic)
    register("hybrid", Hybrid)
    register("sequoia", Sequoia.fitted)
    register("adaptive", Adaptive)
    register("auto", Auto)


@hookimpl
def register_models(register: Register) -> None:
    register("smollm2", smollm2)


@hookimpl
def register_rules(register: Register) -> None:
    register("match", Match)
    register("rejection", Rejection)
    register("traversal", Traversal)
    register("typical", Typical)
    register("lenient", Lenient)


def _small_model(path: Name, target: Verifier | None = None, device: str | None = None) -> SmallModel:
    """Load it onto `device`; by default it is where the target is."""
    place = target.engine.device if device is None and isinstance(target, Target) else device
    return SmallModel.from_pretrained(path, target, device=place)


def _local(path: Name, rule: Rule | None = None) -> Target:
    return Target.from_pretrained(path, rule)


def _remote(path: Name, rule: Rule | None = None, **options: Any) -> Verifier:
    """Reach a server by an address, as SCHEME:REST, whose transport has the name of the scheme."""
    from specdec.remote import Remote  # which makes processors by their names, and so needs all plugins

    if rule is not None and not rule.repeatable:
        raise OptionError(f"expected the rule match, for a server serves no other; got {rule!r}")
    return Remote.to(str(path), **options)


def _line(address: str) -> Transport:
    """Make a line to a server of this process, which listens by that name."""
    from specdec.remote import Host

    return Host.find(address.partition(":")[2]).connect()
