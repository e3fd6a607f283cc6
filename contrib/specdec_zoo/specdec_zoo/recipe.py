"""How the zoo is made: the stages `tokenizer`, `prompts`, `target`, `draft`, `export`, and then `head`.

Heads are trained for the target that ships in the package; the stage makes one, or all that ship.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from specdec_zoo import corpus, heads, questions, tokenizer
from specdec_zoo.export import export
from specdec_zoo.shapes import SIZES
from specdec_zoo.train import Plan, train
from specdec_zoo.unloop import unloop
from specdec_zoo.workspace import Workspace, prepare

MODELS = ("target", "draft")
STAGES = ("tokenizer", "prompts", *MODELS, "export", "head")
RECORD, STREAM = "corpus.json", "train.bin"
READ = {"prompts": (RECORD,), **dict.fromkeys(MODELS, (RECORD, STREAM)), "head": (STREAM,)}
"""What stages read of what the first one makes."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    workspace = Workspace(options.output)
    workspace.check([*MODELS, *heads.HEADS, *heads.SEARCH])
    workspace.check_data(READ.get(options.stage, ()))
    if options.stage == "tokenizer":
        prepare(workspace, corpus.load(cap=options.package_cap), options.package_cap)
    elif options.stage == "prompts":
        documents = corpus.load(cap=workspace.corpus()["package_cap_bytes"])
        counts = questions.write(documents, tokenizer.load(workspace.tokenizer), workspace.prompts)
        print(counts)
    elif options.stage == "export":
        for name in MODELS:
            if workspace.run(name).exists():
                print(name, export(workspace, name, blocks=options.held_out_blocks))
    elif options.stage == "head":
        _heads(workspace, options)
    else:
        _train(workspace, _plan(options), options)


def _train(workspace: Workspace, plan: Plan, options: argparse.Namespace) -> None:
    bpe = tokenizer.load(workspace.tokenizer)
    train(plan, bpe, workspace.data, workspace.run(plan.name))
    if options.unloop_minutes or options.unloop_steps:
        gentle = replace(
            plan,
            minutes=options.unloop_minutes,
            steps=options.unloop_steps or plan.steps,
        )
        unloop(gentle, bpe, workspace.data, workspace.run(plan.name), workspace.run(f"{plan.name}-unloop"))


def _heads(workspace: Workspace, options: argparse.Namespace) -> None:
    for name in [options.head] if options.head else heads.HEADS:
        stream = workspace.data / "train.bin"
        heads.ship(name, stream, workspace.run(name), workspace.model(name), options.tokens)


def _plan(options: argparse.Namespace) -> Plan:
    """Without a limit the run sees the corpus once."""
    plan = Plan(options.stage, options.size, steps=1, block=options.block, batch=options.batch)
    tokens = options.tokens or Workspace(options.output).corpus()["train"]["tokens"]
    steps = options.steps or max(1, tokens // (plan.batch * plan.block))
    if options.minutes:
        steps = options.steps or 1_000_000_000
    return replace(plan, steps=steps, minutes=options.minutes, save_every=options.save_every)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m specdec_zoo.recipe", description=__doc__)
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument(
        "--output", type=Path, default=Path("zoo"), help="folder for the results and intermediate files"
    )
    parser.add_argument("--steps", type=int, help="train for this many steps")
    parser.add_argument("--tokens", type=int, help="train on this many tokens")
    parser.add_argument("--minutes", type=float, help="train for this long; the rate decays towards the end")
    parser.add_argument("--unloop-minutes", type=float, help="then train against looping for this long")
    parser.add_argument("--unloop-steps", type=int, help="then train against looping for this many steps")
    parser.add_argument("--block", type=int, default=Plan.block, help="tokens of context in training")
    parser.add_argument("--batch", type=int, default=Plan.batch, help="blocks in a step")
    parser.add_argument("--save-every", type=int, default=Plan.save_every, help="steps between checkpoints")
    parser.add_argument("--package-cap", type=int, default=corpus.PACKAGE_CAP_BYTES)
    parser.add_argument("--head", help="head: this one only")
    parser.add_argument("--held-out-blocks", type=int, help="export: measure on this many blocks only")
    return parser


if __name__ == "__main__":
    main()
