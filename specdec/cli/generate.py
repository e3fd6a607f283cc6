"""`specdec generate`: a text as it comes, and how fast it came."""

import json
import sys
from typing import TYPE_CHECKING, Any

from attrs import evolve
from typer import Exit

from specdec.cli import options
from specdec.cli.remote import Offline, RemoteOptions
from specdec.cli.spread import spread
from specdec.errors import PromptError

if TYPE_CHECKING:
    from specdec.cli.parts import Parts
    from specdec.cli.run import Comparison, Run

MATCH, LOCAL, AUTO = "match", "local", "auto"
"""What rule, verifier and weights are if they are not given."""


@spread
def generate(
    prompt: options.Prompt = None,
    target: options.Target = None,
    drafter: options.Drafter = None,
    policy: options.Policy = None,
    rule: options.Rule = MATCH,
    verifier: options.Verifier = LOCAL,
    temperature: options.ModelTemperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    sampling: options.Sampled = None,
    seed: options.Seed = 0,
    max_tokens: options.MaxTokens = 200,
    stop: options.StopAt = None,
    device: options.Device = None,
    weights: options.Weights = AUTO,
    compare: options.Compare = False,
    as_json: options.Json = False,
    remote: RemoteOptions = RemoteOptions(),  # noqa: B008  (frozen)
) -> None:
    """Generate text, and report how fast.

    In a terminal accepted drafts are green, the target's own tokens plain, and unverified text is yellow.

    The text goes to standard output, the figures to standard error.

    Sampling options that are not given are those of the target's generation config.
    """
    text = _read(prompt)
    from specdec.cli import run
    from specdec.cli.parts import load
    from specdec.cli.sampling import read
    from specdec.cli.screen import Screen
    from specdec.options import Sampling, Stop

    filters = {"top_k": top_k, "top_p": top_p, "min_p": min_p}
    changes = read(sampling or (), temperature=temperature, **filters, repetition_penalty=repetition_penalty, seed=seed)
    end = Stop(max_tokens, strings=stop or ())
    given = (("rule", rule, MATCH), ("verifier", verifier, LOCAL), ("weights", weights, AUTO), ("device", device, None))
    remote.check(compare=compare, local={name: value for name, value, default in given if value != default})
    screen, keep = Screen(quiet=as_json), remote.offline is Offline.KEEP
    parts = load(target, drafter, policy, rule, device, verifier, weights, remote, screen.note)
    job = run.Job(text, Sampling.of(parts.decoder.verifier.generation_config, **changes), end)
    options.check_sampled(job.sampling.temperature, sampling or (), **filters)
    if compare:
        run.warm_up(job, parts.plain, parts.decoder)
    with screen.text(job.prompt, parts.decoder, parts.status):
        once = run.run(job, parts.decoder, screen.show, keep=keep, traffic=parts.traffic)
        once = evolve(once, restored=min(parts.restored, len(once.tokens)))
    with screen.rounds() as show:
        comparison = run.compare(job, parts.plain, parts.decoder, show, [once]) if compare else None
    screen.figures(once, comparison)
    if as_json:
        print(json.dumps(_figures(once, comparison, parts, seed)))
    if once.unverified:
        raise Exit(1)


def _read(prompt: str | None) -> str:
    if prompt is None and sys.stdin.isatty():
        raise PromptError("expected a prompt, as an argument or on standard input; got none")
    try:
        text = sys.stdin.read().removesuffix("\n") if prompt is None else prompt
        text.encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:  # bytes of standard input, or of an argument
        raise PromptError(f"expected a prompt of UTF-8, got {error.object[error.start : error.end]!r} in it") from None
    if not text:
        raise PromptError("expected a prompt of at least one character, got ''")
    return text


def _figures(run: "Run", comparison: "Comparison | None", parts: "Parts", seed: int) -> dict[str, Any]:
    """Lay out what a machine reads; speed and steps are of the same run."""
    timed = comparison.fast if comparison else run
    figures: dict[str, Any] = {
        "text": run.text,
        "tokens": len(timed.tokens),
        "steps": timed.summary.steps,
        "acceptance_length": timed.summary.acceptance_length,
        "tokens_per_second": timed.tokens_per_second,
        "drafter": parts.drafter,
        "policy": parts.policy,
        "rule": parts.rule,
        "seed": seed,
    }
    if run.traffic:
        counts = {name: getattr(run, name) for name in ("unverified", "alone", "retracted", "restored")}
        figures |= counts | {name: getattr(run.traffic, name) for name in ("round_trips", "bytes_up", "bytes_down")}
    if comparison:
        figures["plain_tokens_per_second"] = comparison.plain.tokens_per_second
        figures["speedup"] = comparison.speedup
        figures["equal"] = comparison.difference is None
    return figures
