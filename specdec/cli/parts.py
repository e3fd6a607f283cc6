"""What a command decodes with: loaded from names and specs."""

import inspect
import os
from collections.abc import Callable

import torch
from attrs import evolve, frozen
from huggingface_hub.utils import logging as hub_logging
from transformers import PreTrainedModel
from transformers.utils import logging

from specdec.bench.peers import ASSISTED
from specdec.cli.remote import RemoteOptions
from specdec.cli.remote_target import RemoteTarget, check_encoder, connect_here, connect_to
from specdec.cli.status import Status
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.errors import ModelError, OptionError
from specdec.interfaces import Verifier
from specdec.plugins import load_drafter, load_policy, load_rule, load_verifier, plugins
from specdec.spec import Spec
from specdec.target import Target
from specdec.target.half import is_packed
from specdec.target.weights import weights_hash
from specdec.transports import Traffic

__all__ = [
    "Parts",
    "find_target",
    "is_zoo",
    "load",
    "load_target",
    "quiet",
    "read_drafter",
    "spec_paths",
    "target_hash",
    "usual_drafter",
]

TARGET, DRAFT = "zoo", "draft"
"""The default target, of `contrib/specdec_zoo`, and the small model of the target T, which is called `T-draft`."""
USUAL, ANY = ("retrieval", "moa"), "ngram"
"""What drafts where no drafter is named: the first that has a model for the target, or one that needs none."""
AUTO = "auto"
"""The policy where none is named: never much slower than plain decoding."""
LOCAL = "local"
"""The verifier that reads trees with the target on this machine."""
SMALL = 2**23
"""Weights of a model below which two threads are no faster than one, and stall one another beside other work."""


@frozen(eq=False)
class Parts:
    """A decoder, plain decoding with the same target, and how drafter, policy and rule are written."""

    decoder: Decoder
    plain: Decoder
    drafter: str
    policy: str
    rule: str
    remote: RemoteTarget | None = None

    @property
    def status(self) -> Status | None:
        """The state of the line to a server, if there is one."""
        return self.remote.status if self.remote else None

    @property
    def restored(self) -> int:
        """The number of tokens that a journal had at the start."""
        return self.remote.restored if self.remote else 0

    @property
    def traffic(self) -> Traffic | None:
        """The traffic of that line."""
        return self.remote.traffic if self.remote else None


def load(
    target: str | None,
    drafter: str | None,
    policy: str | None,
    rule: str,
    device: str | None,
    verifier: str = LOCAL,
    weights: str = "auto",
    remote: RemoteOptions = RemoteOptions(),  # noqa: B008  (frozen)
    tell: Callable[[str], None] = print,
) -> Parts:
    """Load a target and a drafter for it; without names, the zoo and its usual drafter.

    Where no policy is named it is `auto`, or the drafter's own if texts depend on trees. Of a target on a server only
    the weights that the drafter reads are loaded; `tell` gets messages on the state of the line to it.

    Raises:
        ModelError: the zoo is needed and not installed.
        OptionError: the address of `remote` has no known transport, the server lacks the drafter's encoder, or the
            verifier does not take the device or the weights.
        TransportError: the server cannot be reached.
    """
    folder = find_target(target)
    spec = read_drafter(drafter or usual_drafter(target), target)
    shape = None if policy is None else load_policy(policy)
    quiet()
    there = None if remote.here else connect_to(remote, folder, tell)
    model = there.remote if there else _load_verifier(verifier, folder, rule, device, weights)
    draft = load_drafter(spec.text, spec.path, model)
    if there:
        check_encoder(there.remote, draft, spec.text)
        if isinstance(head := getattr(draft, "model", None), PreTrainedModel):
            _spare_threads(head)
    elif remote.address is not None:
        if not isinstance(model, Target):
            raise OptionError(f"expected the verifier {LOCAL} with --remote, got {verifier}")
        there = connect_here(remote, model, draft)
    shape_name = policy or (AUTO if model.repeatable else draft.policy)
    decoder = Decoder(draft, there.verifier if there else model, shape or load_policy(shape_name))
    return Parts(decoder, Decoder(NoDrafter(), model), spec.text, shape_name, rule, there)


def _load_verifier(verifier: str, folder: str, rule: str, device: str | None, weights: str) -> Verifier:
    if verifier == LOCAL:
        return load_target(folder, rule, device, weights)
    for option, value, default in (("device", device, None), ("weights", weights, "auto")):
        if value != default:
            raise OptionError(
                f"expected --{option} with the verifier {LOCAL} only, got --{option} {value} with {verifier}; "
                "a verifier's own options are written after its name, as VERIFIER:key=value"
            )
    return load_verifier(verifier, folder, load_rule(rule))


def load_target(folder: str, rule: str, device: str | None, weights: str = "auto") -> Target:
    """Load a target, small ones for one thread alone, and keep other libraries quiet."""
    quiet()
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    target = Target.from_pretrained(folder, load_rule(rule), device=place, weights=weights)
    _spare_threads(target.model)
    return target


def _spare_threads(model: PreTrainedModel) -> None:
    """Compute with one thread where a model is small."""
    small = model.device.type == "cpu" and model.num_parameters() < SMALL and not is_packed(model)
    if small and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def find_target(target: str | None) -> str:
    """Find the target, by default the one that ships with specdec's repository.

    Raises:
        ModelError: there is no default, for the zoo is not installed.
    """
    folder = str(plugins().folder(target or TARGET))
    if target is None and folder == TARGET:
        raise ModelError(
            "expected --target, because the small models are not installed; "
            "`pip install ./contrib/specdec_zoo` in specdec's repository installs them"
        )
    return folder


def spec_paths(*specs: str | None) -> list[str]:
    """List the files and folders that specs name, in a path or in an option."""
    paths = list[str]()
    for spec in map(Spec.parse, filter(None, specs)):
        named = [value for value in spec.options.values() if os.path.exists(value)]
        paths += [str(plugins().folder(path)) for path in [spec.path, *named] if path]
    return paths


def target_hash(verifier: Verifier) -> str | None:
    """Hash a target that is on this machine."""
    model = getattr(verifier, "model", None)
    return weights_hash(model) if isinstance(model, PreTrainedModel) else None


def is_zoo(target: str | None) -> bool:
    """Say whether a target is the zoo's, whose drafters need no path."""
    return target in (None, TARGET)


def usual_drafter(target: str | None) -> str:
    """Name what drafts for a target where no drafter is named: `retrieval` or `moa` if installed for it, or `ngram`."""
    models = _models()
    return next((name for name in USUAL if f"{target or TARGET}-{name}" in models), ANY)


def read_drafter(text: str, target: str | None) -> Spec:
    """Read a drafter's spec; without a path, fill in the model that is installed for the target.

    For a target T, the drafter D takes the model `T-D`, or `T-D-OPTION` if there is one for an option of the spec.

    Raises:
        OptionError: there is no name.
        ModelError: the drafter needs a model, and none is installed for this target.
    """
    spec, target = Spec.parse(text), target or TARGET
    return evolve(spec, path=_installed_model(spec, target)) if spec.path is None and target in _models() else spec


def quiet() -> None:
    """Keep transformers and the hub from writing into the text."""
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _models() -> set[str]:
    return {entry.name for entry in plugins().entries if entry.kind == "model"}


def _installed_model(spec: Spec, target: str) -> str | None:
    models, name = _models(), DRAFT if spec.name in ("small_model", ASSISTED) else spec.name
    names = [*(f"{target}-{name}-{key}{value}" for key, value in spec.options.items()), f"{target}-{name}"]
    model = next((each for each in names if each in models), None)
    factories = {entry.name: entry.factory for entry in plugins().entries if entry.kind == "drafter"}
    factory = factories.get(spec.name)
    path = None if factory is None else inspect.signature(factory).parameters.get("path")
    if model is None and path is not None and path.default is path.empty:
        raise ModelError(f"expected a model for {spec.name!r}, as {spec.name}:PATH; none is installed as {names[-1]!r}")
    return model
