"""Options that commands share, and what they mean."""

from collections.abc import Sequence
from typing import Annotated

from typer import Argument, Option

from specdec.errors import OptionError

__all__ = [
    "Compare",
    "Device",
    "Drafter",
    "Json",
    "MaxTokens",
    "MinP",
    "ModelTemperature",
    "Policy",
    "Prompt",
    "RepetitionPenalty",
    "Restart",
    "Rule",
    "Sampled",
    "Seed",
    "StopAt",
    "Target",
    "TopK",
    "TopP",
    "Verifier",
    "Weights",
    "check_sampled",
]

Prompt = Annotated[str | None, Argument(help="The text to continue; read from standard input if there is none.")]
Target = Annotated[str | None, Option(metavar="NAME|PATH|HUB-ID", help="Target model; default: the zoo's.")]
Drafter = Annotated[
    str | None,
    Option(
        metavar="NAME[:PATH][:k=v,...]",
        help="Drafter; default: retrieval or moa if installed for the target, else ngram.",
    ),
]
Policy = Annotated[
    str | None,
    Option(
        metavar="NAME[:k=v,...]",
        help="Tree policy; default: auto, or the drafter's own where texts depend on trees.",
    ),
]
Rule = Annotated[str, Option(metavar="NAME[:k=v,...]", help="Acceptance rule.")]
Verifier = Annotated[str, Option(metavar="NAME[:k=v,...]", help="Verifier that runs the target.")]
ModelTemperature = Annotated[
    float | None, Option(metavar="T", help="0 is greedy; default: the model's generation config.")
]
TopP = Annotated[float | None, Option(metavar="P", help="Sample among the likeliest tokens that reach P together.")]
TopK = Annotated[int | None, Option(metavar="K", help="Sample among the K likeliest tokens.")]
MinP = Annotated[
    float | None, Option(metavar="P", help="Sample among tokens at least P times as likely as the likeliest.")
]
RepetitionPenalty = Annotated[float | None, Option(metavar="R", help="Above 1: repeat less.")]
Sampled = Annotated[
    list[str] | None,
    Option(
        "--sampling",
        metavar="NAME=VALUE",
        help="Another option of transformers' generate, such as no_repeat_ngram_size=3.",
    ),
]
Seed = Annotated[int, Option(metavar="N", help="The same seed gives the same text.")]
MaxTokens = Annotated[int, Option(metavar="N", help="Maximum number of tokens to generate.")]
StopAt = Annotated[list[str] | None, Option("--stop", metavar="STRING", help="End after this text; may be repeated.")]
Device = Annotated[str | None, Option(metavar="DEVICE", help="Where models run; default: a GPU if there is one.")]
Weights = Annotated[
    str,
    Option(
        metavar="full|half|auto",
        help="Read weights in half precision on a CPU; auto: where that moves none by more than 3e-8.",
    ),
]
Restart = Annotated[bool, Option("--restart", help="Start again, and replace what an earlier run wrote.")]
Compare = Annotated[bool, Option("--compare", help="Decode plainly too: the speed-up, and whether texts are equal.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object and nothing else.")]


def check_sampled(temperature: int | float, sampling: Sequence[str] = (), **options: int | float | None) -> None:
    """Check that what only sampling reads is not there without a temperature; `sampling` is as in `--sampling`.

    Raises:
        OptionError: it is.
    """
    from specdec.processors import FILTERS

    filters = [("sampling", text) for text in sampling if text.partition("=")[0] in FILTERS]
    for name, value in (*options.items(), *filters):
        if temperature == 0 and value is not None:
            option = name.replace("_", "-")
            raise OptionError(f"expected a --temperature above 0 with --{option}, got --{option} {value} alone")
