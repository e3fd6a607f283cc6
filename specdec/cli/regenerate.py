"""`specdec regenerate`: training data whose answers are the target's own."""

from pathlib import Path
from typing import Annotated

from typer import Option

from specdec.cli import options
from specdec.cli.train import Data, Skip

Output = Annotated[Path, Option(metavar="FILE", help="JSONL to write; what is there already is continued.")]
Drafter = Annotated[str, Option(metavar="NAME[:PATH]", help="What guesses; the answers are the same.")]
Tokens = Annotated[int, Option(metavar="N", min=1, help="Most tokens of an answer.")]
PromptTokens = Annotated[int, Option(metavar="N", min=1, help="What a text without a prompt lends as one.")]
Batch = Annotated[int, Option(metavar="N", min=1, help="Answers at a time.")]
Restart = Annotated[bool, Option("--restart", help="Start over, whatever is there.")]


def regenerate(
    data: Data,
    output: Output,
    target: options.Target = None,
    drafter: Drafter = "none",
    policy: options.Policy = None,
    temperature: options.Temperature = 0.0,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    seed: options.Seed = 0,
    max_tokens: Tokens = 256,
    prompt_tokens: PromptTokens = 64,
    batch: Batch = 8,
    device: options.Device = None,
    skip_malformed: Skip = False,
    restart: Restart = False,
) -> None:
    """Have the target answer what is in training data again, and write that as training data.

    Each answer of a conversation is replaced, in turn; a text is continued after its first tokens.
    """
    from rich.console import Console

    from specdec.cli.parts import load
    from specdec.options import Sampling
    from specdec.training.regenerate import Lengths, jobs, write
    from specdec.training.report import bar

    sampling = Sampling(temperature, top_k, top_p, seed=seed)
    decoder = load(target, drafter, policy, "match", device).decoder
    lengths = Lengths(prompt_tokens, max_tokens, decoder.verifier.max_length)
    todo, skipped = jobs(data, decoder.tokenizer, lengths, skip_malformed=skip_malformed)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{len(todo)} prompts, {skipped} malformed lines skipped")
    if restart:
        output.unlink(missing_ok=True)
    with bar("prompts", console) as progress:
        task = progress.add_task("", total=len(todo))
        write(decoder, todo, output, sampling, max_tokens, batch, lambda done: progress.update(task, completed=done))
    console.print(f"the answers are in {output}: specdec train METHOD --data {output}")
