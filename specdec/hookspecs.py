"""What a plugin may implement: each hook takes as many of its arguments as it names.

Registration hooks are called once, with a `register(name, factory)` to be called for each thing that the plugin brings.
Events are called during decoding, in the order of this file.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import pluggy

from specdec.context import Context, Step
from specdec.tree import Tree

__all__ = [
    "Register",
    "hookimpl",
    "on_begin",
    "on_end",
    "on_step",
    "register_checks",
    "register_drafters",
    "register_listeners",
    "register_methods",
    "register_models",
    "register_policies",
    "register_processors",
    "register_prompts",
    "register_rules",
    "register_transports",
    "register_verifiers",
]

hookspec = pluggy.HookspecMarker("specdec")
hookimpl = pluggy.HookimplMarker("specdec")


@runtime_checkable
class Register(Protocol):
    """Makes a factory known under a name."""

    def __call__(self, name: str, factory: Callable[..., Any]) -> None: ...


@hookspec
def register_drafters(register: Register) -> None:
    """Bring drafters: `factory(path, target, **options)`, of which it is given what it names."""


@hookspec
def register_verifiers(register: Register) -> None:
    """Bring verifiers: `factory(path, rule, **options)`, of which it is given what it names."""


@hookspec
def register_policies(register: Register) -> None:
    """Bring tree policies: `factory(**options)`."""


@hookspec
def register_transports(register: Register) -> None:
    """Bring transports: `factory(address, **options)`."""


@hookspec
def register_rules(register: Register) -> None:
    """Bring acceptance rules: `factory(**options)`."""


@hookspec
def register_models(register: Register) -> None:
    """Bring models that ship with a package: `factory()` gives the folder, the name then stands for it everywhere."""


@hookspec
def register_prompts(register: Register) -> None:
    """Bring sets of prompts: `factory()` gives a file of questions, the name then stands for it in benchmarks."""


@hookspec
def register_methods(register: Register) -> None:
    """Bring training methods: `factory(model, tokenizer, seed, **options)`, of which it is given what it names."""


@hookspec
def register_processors(register: Register) -> None:
    """Bring processors of logits: `factory(**options)`, for client and server of a split target alike."""


@hookspec
def register_listeners(register: Register) -> None:
    """Bring ways to listen for clients of a target: `factory(host, address, admit, tls)`.

    It listens at `HOST:PORT` for a `specdec.remote.Host`, and has a method `close`. `admit` is given what a client says
    as its authorization, `Bearer TOKEN` or None, and gives the tenant, or None if it may not come. `tls` has the names
    of files: `cert`, `key` and perhaps `client_ca`; or it is None.
    """


@hookspec
def register_checks(register: Register) -> None:
    """Bring checks for `specdec doctor`: `factory()` yields each `specdec.doctor.Finding` as soon as it is made."""


@hookspec
def on_begin(context: Context) -> None:
    """Hear that the prompts of a batch have been read."""


@hookspec
def on_step(context: Context, trees: list[Tree | None], step: Step) -> None:
    """Hear of a step: the trees that were verified, what was decided, and the sequences as they are now."""


@hookspec
def on_end(context: Context) -> None:
    """Hear that all sequences of a batch are done."""
