"""`specdec regenerate`: training data whose answers are the target's own."""

from functools import partial
from pathlib import Path
from typing import Annotated

from attrs import asdict
from typer import Option

from specdec.cli import options
from specdec.cli.train import Data, Skip

File = Annotated[Path, Option(metavar="FILE", help="JSONL to write; a run that was stopped is continued.")]
Drafter = Annotated[str, Option(metavar="NAME[:PATH]", help="What guesses; the answers are the same.")]
Tokens = Annotated[int, Option(metavar="N", min=1, help="Maximum number of tokens in an answer.")]
PromptTokens = Annotated[
    int, Option(metavar="N", min=1, help="Tokens at the start of a plain text that serve as its prompt.")
]
Batch = Annotated[int, Option(metavar="N", min=1, help="Answers at a time.")]


def regenerate(
    data: Data,
    output: File,
    target: options.Target = None,
    drafter: Drafter = "none",
    policy: options.Policy = None,
    temperature: options.ModelTemperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    seed: options.Seed = 0,
    max_tokens: Tokens = 256,
    prompt_tokens: PromptTokens = 64,
    batch: Batch = 8,
    device: options.Device = None,
    skip_malformed: Skip = False,
    restart: options.Restart = False,
) -> None:
    """Replace the answers in training data by the target's own.

    Answers of a conversation are replaced in turn; a text is continued after its first tokens.

    The target is sampled as its own generation config asks, but for what is given here.
    """
    from rich.console import Console

    from specdec.cli.parts import find_target, load, spec_paths, target_hash
    from specdec.cli.sampling import read
    from specdec.cli.status import counted
    from specdec.options import Sampling
    from specdec.outputs import Output
    from specdec.training.regenerate import Lengths, fingerprint, jobs, write
    from specdec.training.report import bar

    changes = read((), temperature=temperature, top_p=top_p, top_k=top_k, seed=seed)
    inputs = [find_target(target), *data, *spec_paths(drafter, policy)]
    made = Output.of(output, "regenerate", inputs)
    decoder = load(target, drafter, policy, "match", device).decoder
    sampling = Sampling.of(decoder.verifier.generation_config, **changes)
    options.check_sampled(sampling.temperature, top_p=top_p, top_k=top_k)
    lengths = Lengths(prompt_tokens, max_tokens, decoder.verifier.max_length)
    todo, skipped = jobs(data, decoder.tokenizer, lengths, skip_malformed=skip_malformed)
    left_out = f", {counted(skipped, 'malformed line')} skipped" if skipped else ""
    print(f"{counted(len(todo), 'prompt')}{left_out}")
    settings = {
        **asdict(sampling, filter=lambda attribute, _: attribute.name != "processors"),
        "max_tokens": max_tokens,
        "prompt_tokens": prompt_tokens,
        "data": fingerprint(todo),
        "target": target_hash(decoder.verifier),
    }
    if not made.begin(settings, restart=restart):
        with bar("prompts", Console()) as progress:
            task = progress.add_task("", total=len(todo))
            done = partial(progress.update, task)
            write(decoder, todo, made.partial, sampling, max_tokens, batch, lambda count: done(completed=count))
        made.install(made.partial)
    own = f" --target {target}" if target else ""
    print(f"the answers are in {output}; to train on them: specdec train METHOD --data {output} --output FOLDER{own}")
