"""`specdec bench`: drafters side by side, and whether each says what plain decoding says."""

from pathlib import Path
from time import perf_counter, thread_time
from typing import Annotated

from attrs import asdict, fields
from typer import Context, Exit, Option

from specdec.bench.columns import DEFINITIONS
from specdec.cli import options
from specdec.cli.split_options import SplitOptions, given
from specdec.cli.spread import spread

Drafters = Annotated[
    str | None,
    Option(
        metavar="D,D,...",
        help="What is compared, each as NAME[:PATH][:k=v,...]; also transformers' own hf, hf-assisted[:PATH] and "
        "hf-lookup[:tokens=N]; default: ngram, and for the zoo moa and small_model. none is always measured.",
    ),
]
Prompts = Annotated[
    str | None,
    Option(
        metavar="SET|FILE,...",
        help="Sets, or files such as FastChat's question.jsonl; default: functions,classes,tests.",
    ),
]
Policy = Annotated[
    str, Option(metavar="NAME[:k=v,...]|tuned", help="One shape for all drafters; tuned: what suits each on two cores.")
]
Temperature = Annotated[str, Option(metavar="T,T,...", help="0 is greedy.")]
Repeat = Annotated[
    int, Option(metavar="R", help="Decode each prompt R times, best an odd number; the median time counts.")
]
Limit = Annotated[int | None, Option(metavar="N", min=1, help="The first N prompts of each set; default: all.")]
Tune = Annotated[bool, Option("--tune", help="First find the fastest tree shape for each drafter, on other prompts.")]
TuningPrompts = Annotated[str, Option(metavar="SET|FILE", help="The prompts for --tune.")]
Json = Annotated[Path | None, Option("--json", metavar="OUT", help="Write all figures and runs as one JSON object.")]
Plot = Annotated[
    Path | None, Option(metavar="OUT.png", help="Draw the figures; the suffix sets the format: png, svg or pdf.")
]
Html = Annotated[Path | None, Option(metavar="OUT.html", help="Write one page with tables and plot.")]
Answers = Annotated[Path | None, Option(metavar="FOLDER", help="Write the texts as FastChat and Spec-Bench keep them.")]
Cpu = Annotated[
    bool, Option("--cpu", help="Count processor time of the one thread, for a machine busy with other things.")
]

COLUMNS = "\n\n".join(DEFINITIONS)
DYNAMIC = "dynamic:depth=6,width=8,size=62"
"""The tree of the comparisons that the literature has: EAGLE-2's and Mixture of Attentions' own."""


@spread
def bench(
    context: Context,
    drafters: Drafters = None,
    target: options.Target = None,
    prompts: Prompts = None,
    policy: Policy = DYNAMIC,
    rule: options.Rule = "match",
    temperature: Temperature = "0",
    max_tokens: options.MaxTokens = 128,
    repeat: Repeat = 3,
    limit: Limit = None,
    tune: Tune = False,
    tuning_prompts: TuningPrompts = "tuning",
    seed: options.Seed = 0,
    device: options.Device = None,
    weights: options.Weights = "auto",
    json: Json = None,
    plot: Plot = None,
    html: Html = None,
    answers: Answers = None,
    cpu: Cpu = False,
    restart: options.Restart = False,
    experiment: SplitOptions = SplitOptions(),  # noqa: B008  (frozen)
) -> None:
    """Compare drafters on the same prompts, in one process, in turn.

    Plain decoding is always measured too.

    If a drafter's text differs, it gets no speed-up, the report says where, and the exit code is 1.
    """
    if given(context) & {one.name for one in fields(SplitOptions)}:
        from specdec.cli import split_bench

        split_bench.run(context)
        return
    from torch import get_num_threads

    from specdec.bench import Plan, questions
    from specdec.bench.entry import check_thread_clock
    from specdec.bench.report import console, show
    from specdec.cli.benchmark import SETS, TUNED, TUNING_PROMPTS, Benchmark, Outputs, read_drafters, temperatures
    from specdec.cli.parts import TARGET, find_target, load_target, spec_paths, target_hash
    from specdec.outputs import input_hash
    from specdec.plugins import load_policy

    screen, clock = console(), thread_time if cpu else perf_counter
    plan = Plan(temperatures(temperature), max_tokens, repeat, seed)
    specs, names = read_drafters(drafters, target), (prompts or SETS).split(",")
    read = [str(questions.find(name)[1]) for name in [*names, *([tuning_prompts] if tune else [])]]
    read += spec_paths(*(spec.text for spec in specs))
    outputs = Outputs.of(json, plot, html, answers, [find_target(target), *read])
    sets = questions.load(names, limit)
    tuning = questions.load([tuning_prompts] if tune else [], min(TUNING_PROMPTS, limit or TUNING_PROMPTS))
    if policy != TUNED:
        load_policy(policy)  # whose errors come before a model is loaded
    model = load_target(find_target(target), rule, device, weights)
    if cpu:
        check_thread_clock(get_num_threads(), model.model.device.type)
    settings = asdict(plan) | {"policy": policy, "rule": rule, "limit": limit, "tune": tune, "cpu": cpu}
    settings |= {
        "weights": weights,
        "drafters": [spec.text for spec in specs],
        "inputs": [input_hash(path) for path in read],
    }
    settings["target"] = target_hash(model)
    outputs.begin(settings, restart=restart)
    benchmark = Benchmark(model, specs, sets, [one for group in tuning.values() for one in group], policy, clock)
    result = benchmark.run(plan, screen, target or TARGET, rule)
    show(result, screen)
    outputs.write(result)
    if result.interrupted or result.differences:
        raise Exit(130 if result.interrupted else 1)
