"""`specdec train`: a head for a target."""

from typing import Annotated, Any

from typer import Argument, Context, Option

from specdec.errors import OptionError

Name = Annotated[str, Argument(metavar="METHOD", help="What to train: moa, or what a plugin brings.")]
Target = Annotated[str, Option(metavar="PATH|HUB-ID", help="The model that the head is for.")]
Data = Annotated[list[str], Option(metavar="FILE", help="JSONL or plain text; may be repeated.")]
Output = Annotated[str, Option(metavar="FOLDER", help="Where the head goes, and what is needed to go on.")]
Prompts = Annotated[str | None, Option(metavar="FILE", help="Held-out prompts, one a line, to measure the drafts on.")]
EvalSteps = Annotated[int | None, Option(metavar="N", help="Measure every N steps; else at the end.")]
Epochs = Annotated[float | None, Option(metavar="N", help="Passes over the data; else the method's own.")]
MaxSteps = Annotated[int, Option(metavar="N", help="End after N steps; -1: when the epochs end.")]
Batch = Annotated[int | None, Option(metavar="N", help="Texts per step and device; else the method's own.")]
MaxLength = Annotated[int, Option(metavar="N", help="Cut texts at N tokens.")]
SaveSteps = Annotated[int, Option(metavar="N", help="Write a checkpoint every N steps.")]
Seed = Annotated[int, Option(metavar="N", help="The same seed gives the same run.")]
Skip = Annotated[bool, Option("--skip-malformed", help="Skip and count lines that cannot be used.")]
Restart = Annotated[bool, Option("--restart", help="Begin anew, whatever checkpoints there are.")]
Precision = Annotated[str, Option(metavar="fp32|bf16|fp16", help="Precision of the computation; weights stay fp32.")]

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
"""How the command is registered: what it does not know goes to the method."""


def train(
    context: Context,
    name: Name,
    target: Target,
    data: Data,
    output: Output,
    prompts: Prompts = None,
    eval_steps: EvalSteps = None,
    epochs: Epochs = None,
    max_steps: MaxSteps = -1,
    batch: Batch = None,
    max_length: MaxLength = 2048,
    save_steps: SaveSteps = 500,
    seed: Seed = 0,
    skip_malformed: Skip = False,
    restart: Restart = False,
    precision: Precision = "fp32",
) -> None:
    """Train a head for a target; goes on where a run into the same folder stopped.

    Options of the method itself, as --tli 1 for moa, may follow.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    from specdec.training import Examples, load_method
    from specdec.training.trainer import Plan
    from specdec.training.trainer import train as run

    chosen = _options(context.args)
    if precision not in ("fp32", "bf16", "fp16"):
        raise OptionError(f"expected a precision of fp32, bf16 or fp16, got {precision!r}")
    tokenizer = AutoTokenizer.from_pretrained(target)
    examples = Examples.read(data, tokenizer, max_length, skip_malformed=skip_malformed)
    if examples.skipped:
        print(f"skipped {examples.skipped} malformed lines")
    model = AutoModelForCausalLM.from_pretrained(target, dtype=None if precision == "fp32" else "auto")
    set_seed(seed)
    method = load_method(name, model, tokenizer, seed, **chosen)
    mixed = () if precision == "fp32" else ((precision, True),)
    plan = Plan(output, epochs, max_steps, batch, save_steps, eval_steps, seed=seed, resume=not restart, options=mixed)
    run(method, model, examples, plan, _lines(prompts), tokenizer)


def _options(arguments: list[str]) -> dict[str, Any]:
    """Read `--key value` pairs, as `specdec.plugins.parse` reads values."""
    from specdec.plugins import parse

    pairs = zip(arguments[::2], arguments[1::2], strict=False)
    if len(arguments) % 2 or not all(key.startswith("--") for key in arguments[::2]):
        raise OptionError(f"expected options of the method as --key value, got {' '.join(arguments)}")
    return {
        name: value
        for key, text in pairs
        for name, value in parse(f"method:{key[2:].replace('-', '_')}={text}")[1].items()
    }


def _lines(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        with open(path, encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except OSError as error:
        raise OptionError(f"expected a file of prompts at {path}, got: {error}") from error
