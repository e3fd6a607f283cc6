"""`specdec train`: a head for a target."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from attrs import evolve
from typer import Argument, Option

from specdec.cli import options
from specdec.cli.methods import MethodSpec, Own, options_of
from specdec.errors import OptionError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from specdec.training import Examples, Together, TrainingMethod

PUBLISHED, SHORT = "published", "short"
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

Names = Annotated[
    list[str], Argument(metavar="METHOD[:K=V,...]", help="What to train: moa, eagle, eagle3, or what a plugin brings.")
]
Data = Annotated[list[str], Option(metavar="FILE", help="JSONL or plain text; may be repeated.")]
Folder = Annotated[str, Option(metavar="FOLDER", help="Where heads go, and what is needed to continue.")]
Model = Annotated[str | None, Option(metavar="NAME|PATH|HUB-ID", help="The model the head is for; default: the zoo's.")]
Prompts = Annotated[str | None, Option(metavar="NAME|FILE", help="Held-out questions to measure acceptance length on.")]
EvalSteps = Annotated[int | None, Option(metavar="N", min=1, help="Measure every N steps, not only at the end.")]
EvalLimit = Annotated[int, Option(metavar="N", min=1, help="Maximum number of questions to measure on.")]
EvalTokens = Annotated[int, Option(metavar="N", min=1, help="Maximum number of tokens in each measured answer.")]
Epochs = Annotated[float | None, Option(metavar="N", help="Passes over the data; default: the method's own.")]
MaxSteps = Annotated[int | None, Option(metavar="N", min=1, help="End after N steps; default: the end of the epochs.")]
Batch = Annotated[int | None, Option(metavar="N", min=1, help="Texts at a time and device; default: the method's own.")]
Accumulate = Annotated[int, Option(metavar="N", min=1, help="Batches whose gradients make one step.")]
ByLength = Annotated[bool, Option("--by-length", help="Read texts of about the same length together: less padding.")]
MaxLength = Annotated[int, Option(metavar="N", help="Cut texts at N tokens.")]
SaveSteps = Annotated[
    int | None,
    Option(metavar="N", min=1, help="Write a checkpoint every N steps; default: a tenth of the run, at most 500."),
]
LogSteps = Annotated[int, Option(metavar="N", min=1, help="Log every N steps.")]
RecipeName = Annotated[
    str, Option(metavar="published|short", help="The method's own, or one for a few thousand steps: Muon, high rates.")
]
Seed = Annotated[int, Option(metavar="N", min=0, help="The same seed gives the same run.")]
Skip = Annotated[bool, Option("--skip-malformed", help="Skip and count lines that cannot be used.")]
Precision = Annotated[
    str, Option(metavar="fp32|bf16|fp16", help="Of target and computation; the head's weights stay fp32.")
]


def train(
    methods: Names,
    data: Data,
    output: Folder,
    target: Model = None,
    prompts: Prompts = None,
    eval_steps: EvalSteps = None,
    eval_limit: EvalLimit = 16,
    eval_tokens: EvalTokens = 64,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    batch: Batch = None,
    accumulate: Accumulate = 1,
    by_length: ByLength = False,
    recipe: RecipeName = PUBLISHED,
    max_length: MaxLength = 2048,
    save_steps: SaveSteps = None,
    log_steps: LogSteps = 10,
    seed: Seed = 0,
    skip_malformed: Skip = False,
    restart: options.Restart = False,
    precision: Precision = "fp32",
    own: Own = None,
) -> None:
    """Train a head for a target; continues where a run into the same folder stopped.

    `specdec train METHOD --help` lists the method's own options too.

    One pass of the target teaches several: `specdec train moa:tli=1 eagle` writes FOLDER/moa-tli1 and FOLDER/eagle.
    """
    _check_installed()
    _check_precision(precision)
    own = _left_to(recipe, own)
    if eval_steps is not None and prompts is None:
        raise OptionError(f"expected --prompts with --eval-steps, got --eval-steps {eval_steps} alone")
    from specdec.cli import parts
    from specdec.outputs import Output
    from specdec.plugins import find_model
    from specdec.target import Target
    from specdec.target.loading import load_model, load_tokenizer
    from specdec.training import Examples
    from specdec.training.trainer import HeadTrainer, Plan

    settings = _settings(own) | {"batch": batch, "accumulate": accumulate, "seed": seed, "precision": precision}
    settings |= {"by length": by_length, "recipe": recipe}
    plan = Plan(
        output,
        epochs=epochs,
        max_steps=max_steps or -1,
        batch=batch,
        save_steps=save_steps,
        eval_steps=eval_steps,
        eval_tokens=eval_tokens,
        seed=seed,
        resume=not restart,
        options=_options(accumulate, log_steps, precision, by_length=by_length),
        settings=settings,
    )
    folder = parts.find_target(target)
    starts = [find_model(spec.options["start"]) for spec in own if spec.options.get("start")]
    Output.of(output, "train", [folder, *data, *_file(prompts), *starts], folder=True)
    held_out = _read(prompts, eval_limit)
    parts.quiet()
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, weights="full", dtype=DTYPES[precision])
    head = _load_heads(own, recipe, model, tokenizer, seed)
    examples = Examples.read(data, tokenizer, max_length, skip_malformed=skip_malformed)
    _say(_described(examples))
    trainer = HeadTrainer(head, model, examples, plan, held_out, tokenizer)
    Target(trainer.teacher.model, tokenizer).close()  # what cannot be decoded with is refused before it is trained for
    trainer.run()
    trainer.leave()
    _say_where(own, output, target)


def _load_heads(
    specs: Sequence[MethodSpec], recipe: str, model: "PreTrainedModel", tokenizer: Any, seed: int
) -> "TrainingMethod | Together":
    """Make the head that is to be trained, or several as one; each begins as it would alone."""
    from transformers import set_seed

    from specdec.training import Together, TrainingMethod, load_method, shorten

    heads = dict[str, TrainingMethod]()
    for spec in specs:
        set_seed(seed)
        heads[spec.name] = load_method(spec.method, model, tokenizer, seed, **spec.options)
    made = heads[""] if "" in heads else Together(heads)
    if recipe == SHORT:
        shorten(made)
    return made


def _options(accumulate: int, log_steps: int, precision: str, *, by_length: bool) -> tuple[tuple[str, Any], ...]:
    """Give the options of transformers' `TrainingArguments`."""
    mixed = () if precision == "fp32" else ((precision, True),)
    order = (("train_sampling_strategy", "group_by_length"),) if by_length else ()
    return ("gradient_accumulation_steps", accumulate), ("logging_steps", log_steps), *mixed, *order


def _say_where(specs: Sequence[MethodSpec], output: str, target: str | None) -> None:
    used = f"--target {target} --drafter" if target else "--drafter"
    for spec in specs:
        folder = str(Path(output) / spec.name) if spec.name else output
        _say(f"the head is in {folder}; to draft with it: specdec generate PROMPT {used} {spec.method}:{folder}")


def _settings(specs: Sequence[MethodSpec]) -> dict[str, Any]:
    """List what decides which heads are trained, for the record; a head to start from goes by its hash."""
    if len(specs) == 1:
        return {"method": specs[0].method, **_hashed(specs[0].options)}
    options = {f"option {key} of {each.name}": value for each in specs for key, value in _hashed(each.options).items()}
    return {"heads": sorted(f"{each.name} ({each.method})" for each in specs), **options}


def _hashed(own: Mapping[str, Any]) -> dict[str, Any]:
    from specdec.outputs import input_hash
    from specdec.plugins import find_model

    start = own.get("start")
    others = {key: value for key, value in own.items() if key != "start"}
    return others | {"start": input_hash(find_model(start)) or start} if start else others


def _described(examples: "Examples") -> str:
    from specdec.cli.status import counted

    tokens = sum(len(example.tokens) for example in examples.examples)
    skipped = f", {counted(examples.skipped, 'malformed line')} skipped" if examples.skipped else ""
    return f"texts: {len(examples)}, of {tokens} tokens in all{skipped}"


def _check_installed() -> None:
    """Check that the extra is there.

    Raises:
        OptionError: it is not.
    """
    if missing := [name for name in ("accelerate", "tensorboard") if find_spec(name) is None]:
        needed = "`pip install 'specdec-kit[train]'`"
        raise OptionError(f"expected {missing[0]} for training, which is not installed; {needed} brings it")


def _left_to(recipe: str, specs: Sequence[MethodSpec]) -> list[MethodSpec]:
    """Take out of methods' options what a recipe for all decides.

    Raises:
        OptionError: there is no such recipe, or a method has options for what it decides.
    """
    if recipe not in (PUBLISHED, SHORT):
        raise OptionError(f"expected a recipe of {PUBLISHED} or {SHORT}, got {recipe!r}")
    if recipe == PUBLISHED:
        return list(specs)
    from specdec.training.recipe import OPTIMISING

    for spec in specs:
        defaults = {param.name: param.default for param in options_of(spec.method)}
        for name in OPTIMISING:
            if spec.options.get(name) != defaults.get(name):
                given = f"{name} {spec.options[name]} for {spec.method}"
                raise OptionError(f"expected no {name} with --recipe {SHORT}, which decides it; got {given}")
    return [
        evolve(spec, options={key: value for key, value in spec.options.items() if key not in OPTIMISING})
        for spec in specs
    ]


def _check_precision(precision: str) -> None:
    """Check that this machine can train so, and warn of what will be slow.

    Raises:
        OptionError: there is no such precision, or not without a GPU.
    """
    import torch

    gpu = torch.cuda.is_available()
    if precision not in DTYPES:
        raise OptionError(f"expected a precision of fp32, bf16 or fp16, got {precision!r}")
    if precision == "fp16" and not gpu:
        raise OptionError("expected fp32 or bf16 without a GPU, got fp16")
    if precision == "bf16" and not gpu and _first():
        print("specdec: bf16 without a GPU may be far slower than fp32", file=sys.stderr)


def _file(prompts: str | None) -> list[Path]:
    from specdec.bench import questions

    return [] if prompts is None else [questions.find(prompts)[1]]


def _read(prompts: str | None, limit: int) -> list[str]:
    from specdec.bench import questions

    if prompts is None:
        return []
    return [question.prompt for group in questions.load([prompts]).values() for question in group][:limit]


def _say(text: str) -> None:
    if _first():
        print(text)


def _first() -> bool:
    """Whether this is the process that speaks."""
    return os.environ.get("RANK", "0") == "0"
