"""What specdec itself brings, registered as any plugin is."""

from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.hookspecs import Register, hookimpl
from specdec.interfaces import Rule
from specdec.policies import Adaptive, Chain, Dynamic, Sequoia, Static
from specdec.rules import Match, Rejection
from specdec.target import Target


@hookimpl
def register_drafters(register: Register) -> None:
    register("none", NoDrafter)
    register("ngram", Ngram)
    register("small_model", _small_model)


@hookimpl
def register_verifiers(register: Register) -> None:
    register("local", _local)


@hookimpl
def register_policies(register: Register) -> None:
    register("chain", Chain)
    register("static", Static)
    register("dynamic", Dynamic)
    register("sequoia", Sequoia.fitted)
    register("adaptive", Adaptive)


@hookimpl
def register_rules(register: Register) -> None:
    register("match", Match)
    register("rejection", Rejection)


def _small_model(path: str) -> SmallModel:
    return SmallModel.from_pretrained(path)


def _local(path: str, rule: Rule | None = None) -> Target:
    return Target.from_pretrained(path, rule)
