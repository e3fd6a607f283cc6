"""`specdec generate`: a text as it comes, and how fast it came."""

import json
import sys
from typing import Any

from specdec.cli import options
from specdec.cli.parts import Parts, load
from specdec.cli.run import Comparison, Job, Run, Screen, run, warm_up
from specdec.cli.run import compare as compare_runs
from specdec.cli.sampling import read
from specdec.errors import PromptError
from specdec.options import Sampling, Stop


def generate(
    prompt: options.Prompt = None,
    target: options.Target = None,
    drafter: options.Drafter = None,
    policy: options.Policy = None,
    rule: options.Rule = "match",
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
    compare: options.Compare = False,
    as_json: options.Json = False,
) -> None:
    """Generate text, and say how fast it came.

    Drafted tokens that the target agreed with are green, its own tokens are plain. The target is sampled as its own
    generation config asks, but for what is given here.
    """
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    changes = read(sampling or (), **given, repetition_penalty=repetition_penalty, seed=seed)
    text, end = _read(prompt), Stop(max_tokens, strings=stop or ())
    parts = load(target, drafter, policy, rule, device)
    job = Job(text, Sampling.of(parts.decoder.verifier.generation_config, **changes), end)
    screen = Screen(quiet=as_json)
    if compare:
        warm_up(job, parts.plain, parts.decoder)
    screen.begin(job.prompt, parts.decoder)
    once = run(job, parts.decoder, screen.piece)
    comparison = compare_runs(job, parts.plain, parts.decoder) if compare else None
    screen.end(once, comparison)
    if as_json:
        print(json.dumps(_figures(once, comparison, parts, seed)))


def _read(prompt: str | None) -> str:
    if prompt is None and sys.stdin.isatty():
        raise PromptError("expected a prompt, as an argument or on standard input; got none")
    text = sys.stdin.read().removesuffix("\n") if prompt is None else prompt
    if not text:
        raise PromptError("expected a prompt of at least one character, got ''")
    return text


def _figures(run: Run, comparison: Comparison | None, parts: Parts, seed: int) -> dict[str, Any]:
    """Lay out what a machine reads."""
    timed = comparison.fast if comparison else run
    figures: dict[str, Any] = {
        "text": run.text,
        "tokens": len(run.tokens),
        "steps": run.summary.steps,
        "acceptance_length": run.summary.acceptance_length,
        "tokens_per_second": timed.tokens_per_second,
        "drafter": parts.drafter,
        "policy": parts.policy,
        "rule": parts.rule,
        "seed": seed,
    }
    if comparison:
        figures["plain_tokens_per_second"] = comparison.plain.tokens_per_second
        figures["speedup"] = comparison.speedup
        figures["equal"] = comparison.difference is None
    return figures
