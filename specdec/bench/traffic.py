"""The traffic of a split target, by drafter and codec: `python -m specdec.bench.traffic`.

Each drafter decodes the same prompts through a server in this process, with each codec of features. Bytes are those
of whole messages, divided by the decided tokens; features of the prompts are counted apart.
"""

import json
from collections.abc import Sequence
from itertools import product
from typing import Annotated

import torch
import typer
from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table
from transformers.utils import logging

from specdec.bench.shared_noise import prompts
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.interfaces import Drafter, Transport
from specdec.options import Sampling, Stop
from specdec.plugins import load_drafter, plugins
from specdec.remote import Host, Remote
from specdec.spec import Spec, split
from specdec.split import Server
from specdec.split.codecs import CODECS
from specdec.split.messages import Read, read_from_server
from specdec.target import Target
from specdec.transports import Counting, Traffic

DRAFTERS = "moa:zoo-moa,moa:zoo-moa-tli1,eagle:zoo-eagle,eagle3:zoo-eagle3,medusa:zoo-medusa,small_model:zoo-draft"


class Counted(Counting):
    """Also counts the bytes of prompts' features."""

    prompt = 0

    def receive(self, timeout: float | None = None) -> bytes:
        message = super().receive(timeout)
        if isinstance(read_from_server(message), Read):
            self.prompt += len(message)
        return message


@frozen
class Row:
    """Bytes per decided token `up` and `down`, bytes of `prompt` features per prompt token, and tokens per step."""

    drafter: str
    codec: str
    up: float
    down: float
    prompt: float
    acceptance_length: float
    equal: bool


def measure(target: Target, drafter: Drafter, name: str, codec: str, texts: Sequence[str], tokens: int) -> Row:
    """Decode each text through a server, and compare with the target alone."""
    host, traffic, lines = Host(Server.of(target, [drafter])), Traffic(), list[Counted]()

    def connect() -> Transport:
        lines.append(Counted(host.connect(), traffic))
        return lines[-1]

    stop, length = Stop(tokens), sum(len(target.tokenizer(text)["input_ids"]) for text in texts)  # type: ignore[misc]
    decoder = Decoder(drafter, Remote(connect, target.tokenizer, codec=codec, patience=60.0))
    found = [decoder.generate(text, Sampling(), stop) for text in texts]
    host.close()
    wanted = [Decoder(NoDrafter(), target).generate(text, Sampling(), stop).tokens for text in texts]
    count = sum(one.metrics.tokens for one in found)
    prompt = sum(line.prompt for line in lines)
    up, down = traffic.bytes_up, traffic.bytes_down - prompt
    accepted = count / sum(one.metrics.steps for one in found)
    return Row(
        name, codec, up / count, down / count, prompt / length, accepted, [one.tokens for one in found] == wanted
    )


def report(rows: Sequence[Row]) -> Table:
    """The figures as a table."""
    table = Table("drafter", "codec", "up", "down", "prompt", "tokens per step", "same text", box=None)
    for row in rows:
        figures = (f"{row.up:.0f}", f"{row.down:.0f}", f"{row.prompt:.0f}", f"{row.acceptance_length:.2f}")
        table.add_row(row.drafter, row.codec, *figures, "yes" if row.equal else "NO")
    return table


def main(
    target: Annotated[str, typer.Option(metavar="NAME|PATH", help="The target.")] = "zoo",
    drafters: Annotated[str, typer.Option(metavar="NAME:PATH,...", help="The drafters.")] = DRAFTERS,
    codecs: Annotated[str, typer.Option(metavar="NAME,...", help="The codecs of features.")] = ",".join(CODECS),
    count: Annotated[int, typer.Option("--prompts", metavar="N", help="Maximum number of prompts.")] = 6,
    tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", help="Maximum number of tokens for each prompt.")
    ] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Print bytes per token and tokens per step, by drafter and codec."""
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    model, texts = Target.from_pretrained(plugins().folder(target)), prompts(None, count)
    rows = list[Row]()
    for text, codec in product(split(drafters), codecs.split(",")):
        spec = Spec.parse(text)
        drafter = load_drafter(text, target=model)
        name = spec.path or spec.name
        if codec == codecs.split(",")[0] or drafter.needs:
            rows.append(measure(model, drafter, name, codec, texts, tokens))
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        Console().print(report(rows))


if __name__ == "__main__":
    typer.run(main)
