"""`specdec audit`: whether rules are what they say they are."""

import json
from collections.abc import Iterator
from inspect import signature
from typing import TYPE_CHECKING, Annotated

import typer
from attrs import asdict

if TYPE_CHECKING:
    from specdec.testing.audit import Verdict

Rule = Annotated[str | None, typer.Option(metavar="NAME[:k=v,...]", help="One rule; default: all that are registered.")]
Policy = Annotated[
    str | None, typer.Option(metavar="NAME[:k=v,...]", help="One policy; default: all, drawn and placed.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON array and nothing else.")]


def audit(rule: Rule = None, policy: Policy = None, as_json: Json = False) -> None:
    """Walk every outcome of rules on trees of small vocabularies, and compare with the target's distribution.

    Plugins are audited as built-ins are. Fails if a rule that declares itself exact is not.
    """
    rows = []
    for rule_spec, policy_spec, verdict in verdicts(_specs(rule, "rule"), _specs(policy, "policy")):
        rows.append({"rule": rule_spec, "policy": policy_spec, **asdict(verdict)})
        if not as_json:
            print(_line(rule_spec, policy_spec, verdict), flush=True)
    if as_json:
        print(json.dumps(rows, indent=2))
    if any(row["declared_exact"] and not row["exact"] for row in rows):
        raise typer.Exit(1)


def verdicts(rules: list[str], policies: list[str]) -> "Iterator[tuple[str, str, Verdict]]":
    """Audit each rule with each policy."""
    from specdec.plugins import load_policy, load_rule
    from specdec.testing.audit import audit, cases

    loaded = {rule: load_rule(rule) for rule in rules}
    for policy in policies:
        walked = cases(load_policy(policy))
        for rule, one in loaded.items():
            yield rule, policy, audit(one, walked)


def _specs(spec: str | None, kind: str) -> list[str]:
    """List what to audit: all of a kind, if none is named, and policies once more where they can sample."""
    from specdec.plugins import plugins

    if spec is not None:
        return [spec]
    entries = [entry for entry in plugins().entries if entry.kind == kind]
    names = [entry.name for entry in entries]
    return names + [
        f"{entry.name}:sampled=true" for entry in entries if "sampled" in signature(entry.factory).parameters
    ]


def _line(rule: str, policy: str, verdict: "Verdict") -> str:
    result = "exact" if verdict.exact else "NOT EXACT" if verdict.declared_exact else "lossy, as declared"
    best = "" if verdict.optimum is None else f" of {verdict.optimum:.4f} possible without loss"
    return (
        f"{rule} on {policy}: {result}; worst distance {verdict.worst_distance:.2g}; "
        f"{verdict.expected_tokens:.4f} tokens per step{best}; {verdict.instances} instances"
    )
