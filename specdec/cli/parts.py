"""What a command decodes with: from names to loaded parts."""

import os

import torch
from attrs import frozen
from huggingface_hub.utils import logging as hub_logging
from transformers import PreTrainedModel
from transformers.utils import logging

from specdec.cli import drafters
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.errors import ModelError
from specdec.interfaces import Drafter
from specdec.plugins import load_drafter, load_policy, load_rule, parse, plugins
from specdec.target import Target

TARGET, DRAFT = "zoo", "zoo-draft"
"""Models of `contrib/specdec_zoo`."""

SHAPES = {
    "eagle": "dynamic:depth=3,width=4,size=12,sharpness=3",
    "eagle3": "dynamic:depth=3,width=4,size=12,sharpness=3",
    "medusa": "static:levels=8",
    "moa": "dynamic:depth=3,width=4,size=12,sharpness=3",
    "ngram": "static:levels=4",
    "small_model": "static:levels=4",
}
"""What was fastest with the zoo on CPU cores, as `specdec bench --tune` finds; others begin with a chain."""

SMALL = 2**23
"""Weights of a model below which two threads are no faster than one, and stall one another beside other work."""


@frozen
class Names:
    """What was asked for."""

    target: str
    wanted: drafters.Wanted
    policy: str
    rule: str

    @property
    def drafter(self) -> str:
        """The drafter as it was written."""
        return self.wanted.written


def choose(target: str | None, drafter: str | None, policy: str | None, rule: str) -> Names:
    """Fill in what was not said: the zoo and its head, or `ngram` for a target of one's own.

    Raises:
        ModelError: the zoo is needed and not installed.
    """
    folder = find_target(target)
    wanted = drafters.read(drafter or ("moa" if target is None else "ngram"), is_zoo(target))
    return Names(folder, wanted, policy or shape(wanted.name), rule)


def shape(drafter: str) -> str:
    """Give the policy that suits a drafter."""
    return SHAPES.get(drafter, "chain")


def is_zoo(target: str | None) -> bool:
    """Say whether a target is the zoo's, whose drafters need no path."""
    return target in (None, TARGET)


def load(names: Names, device: str | None) -> tuple[Decoder, Decoder]:
    """Load the parts; give a decoder of them, and a plain one with the same target."""
    policy_name, policy_options = parse(names.policy)
    policy = load_policy(policy_name, **policy_options)
    target = load_target(names.target, names.rule, device)
    drafter = make(names.wanted, target)
    return Decoder(drafter, target, policy), Decoder(NoDrafter(), target)


def load_target(folder: str, rule: str, device: str | None) -> Target:
    """Load a target, small ones for one thread alone, and keep others from talking into the text."""
    hush()
    name, options = parse(rule)
    chosen = load_rule(name, **options)
    target = Target.from_pretrained(folder, chosen, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if small(target.model) and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    return target


def small(model: PreTrainedModel) -> bool:
    """Say whether a model's products on a CPU are too small to share: each would wait for the slowest core."""
    weights: int = model.num_parameters()
    return model.device.type == "cpu" and weights < SMALL


def make(wanted: drafters.Wanted, target: Target) -> Drafter:
    """Load a drafter for a target."""
    return load_drafter(wanted.name, wanted.path, target=target, **wanted.options)


def find_target(target: str | None) -> str:
    """Find the target, by default the one that ships with specdec's repository."""
    folder = str(plugins().folder(target or TARGET))
    if target is None and folder == TARGET:
        raise ModelError(
            "expected --target, for the small models are not installed; "
            "`pip install ./contrib/specdec_zoo` in specdec's repository installs them"
        )
    return folder


def hush() -> None:
    """Keep transformers and the hub from talking into the text."""
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
