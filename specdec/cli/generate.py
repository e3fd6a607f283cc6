"""`specdec generate`: a text as it comes, and how fast it came."""

import json
import sys
from typing import Any

from specdec.cli import options
from specdec.errors import PromptError


def generate(
    prompt: options.Prompt = None,
    target: options.Target = None,
    drafter: options.Drafter = None,
    policy: options.Policy = None,
    rule: options.Rule = "match",
    temperature: options.Temperature = 0.0,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    seed: options.Seed = 0,
    max_tokens: options.MaxTokens = 200,
    stop: options.StopAt = None,
    device: options.Device = None,
    compare: options.Compare = False,
    as_json: options.Json = False,
) -> None:
    """Generate text, and say how fast it came.

    Drafted tokens that the target agreed with are green, its own tokens are plain.
    """
    from specdec.cli import parts, runs, show
    from specdec.options import Sampling, Stop

    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty, seed=seed)
    job = runs.Job(_read(prompt), sampling, Stop(max_tokens, strings=stop or ()))
    names = parts.choose(target, drafter, policy, rule)
    fast, plain = parts.load(names, device)
    screen = show.Screen(quiet=as_json)
    if compare:
        runs.warm_up(job, plain, fast)
    screen.begin(job.prompt, fast)
    run = runs.run(job, fast, screen.piece)
    comparison = runs.compare(job, plain, fast) if compare else None
    screen.end(run, comparison)
    if as_json:
        print(json.dumps(_figures(run, comparison, names, seed)))


def _read(prompt: str | None) -> str:
    if prompt is None and sys.stdin.isatty():
        raise PromptError("expected a prompt, as an argument or on standard input; got none")
    text = sys.stdin.read().removesuffix("\n") if prompt is None else prompt
    if not text:
        raise PromptError("expected a prompt of at least one character, got ''")
    return text


def _figures(run: Any, comparison: Any, names: Any, seed: int) -> dict[str, Any]:
    """Lay out what a machine reads."""
    timed = comparison.fast if comparison else run
    figures = {
        "text": run.text,
        "tokens": len(run.tokens),
        "steps": run.summary.steps,
        "acceptance_length": run.summary.acceptance_length,
        "tokens_per_second": timed.tokens_per_second,
        "drafter": names.drafter,
        "policy": names.policy,
        "rule": names.rule,
        "seed": seed,
    }
    if comparison:
        figures["plain_tokens_per_second"] = comparison.plain.tokens_per_second
        figures["speedup"] = comparison.speedup
        figures["equal"] = comparison.equal
    return figures
