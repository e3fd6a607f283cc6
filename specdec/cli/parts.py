"""What a command decodes with: from names to loaded parts."""

import torch
from attrs import frozen
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging

from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.errors import ModelError
from specdec.plugins import load_drafter, load_policy, load_rule, parse, plugins
from specdec.target import Target

TARGET, DRAFT = "zoo", "zoo-draft"
"""Models of `contrib/specdec_zoo`."""

SHAPES = {"ngram": "chain:length=3", "small_model": "static:levels=4x3"}
"""What was fastest with the zoo on two CPU cores; others begin with a chain."""


@frozen
class Names:
    """What was asked for; `drafter` is as it was written, `drafter_path` where its model is."""

    target: str
    drafter: str
    drafter_path: str | None
    policy: str
    rule: str


def choose(target: str | None, drafter: str | None, policy: str | None, rule: str) -> Names:
    """Fill in what was not said: the zoo's two models, or `ngram` for a target of one's own.

    Raises:
        ModelError: the zoo is needed and not installed.
    """
    written = drafter or ("small_model" if target is None else "ngram")
    name, _, path = written.partition(":")
    if target is None and name == "small_model" and not path:
        path = DRAFT
    return Names(_folder(target), written, path or None, policy or SHAPES.get(name, "chain"), rule)


def load(names: Names, device: str | None) -> tuple[Decoder, Decoder]:
    """Load the parts; give a decoder of them, and a plain one with the same target."""
    _hush()
    policy_name, policy_options = parse(names.policy)
    policy = load_policy(policy_name, **policy_options)
    rule_name, rule_options = parse(names.rule)
    rule = load_rule(rule_name, **rule_options)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    target = Target.from_pretrained(names.target, rule, device=place)
    drafter = load_drafter(names.drafter.partition(":")[0], names.drafter_path, target=target)
    return Decoder(drafter, target, policy), Decoder(NoDrafter(), target)


def _folder(target: str | None) -> str:
    """Find the target, by default the one that ships with specdec's repository."""
    folder = str(plugins().folder(target or TARGET))
    if target is None and folder == TARGET:
        raise ModelError(
            "expected --target, for the small models are not installed; "
            "`pip install ./contrib/specdec_zoo` in specdec's repository installs them"
        )
    return folder


def _hush() -> None:
    """Keep transformers and the hub from talking into the text."""
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
