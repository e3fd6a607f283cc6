"""Texts that are cut off, and how a drafter continues them alone."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TypeVar

import torch
from attrs import frozen

from specdec.bench.figures import loops
from specdec.bench.run import Task
from specdec.bench.split.python_text import parses
from specdec.bench.split.unplugged import Unplugged
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.errors import ModelError
from specdec.interfaces import Drafter, TreePolicy
from specdec.options import Sampling, Stop
from specdec.target import Target

ONLINE, ALONE = 50, 50
"""Tokens before the line is cut, and after."""
BATCH = 16
T = TypeVar("T")


@frozen(eq=False)
class CutText:
    """A prompt with the target's first tokens, and `wanted`, the tokens that the target would generate next."""

    tokens: list[int]
    wanted: tuple[int, ...]
    sampling: Sampling


@frozen(eq=False)
class Continuation:
    """The tokens `said` after the cut, which end early if the drafter has no guess.

    `right` tells for each of the 50 positions whether it has the target's token; `nll` is the negative
    log-likelihood of all tokens under the target at temperature 1, in nats; `python` tells whether the text is still a
    valid beginning of a Python module, None if it was not one at the cut.
    """

    said: tuple[int, ...]
    right: tuple[bool, ...]
    nll: float
    python: bool | None

    @property
    def prefix(self) -> int:
        """The number of tokens before the first that differs from the target's."""
        return [*self.right, False].index(False)

    @property
    def looping(self) -> bool:
        """Whether the tokens loop."""
        return loops(self.said)

    def agreement(self, count: int) -> float:
        """The share of the first `count` positions with the target's token."""
        return sum(self.right[:count]) / count


def cut_texts(target: Target, tasks: Sequence[Task]) -> list[CutText]:
    """Have the target continue the prompts, and cut the texts; leave out those that are too short."""
    decoder, ends, texts = Decoder(NoDrafter(), target), set(target.end_tokens), list[CutText]()
    for part in _batches(tasks):
        stop = Stop(ONLINE + ALONE, tokens=())
        said = decoder.generate([list(task.prompt) for task in part], [task.sampling for task in part], stop).tokens
        for task, tokens in zip(part, said, strict=True):
            if not ends & set(tokens):
                texts.append(CutText([*task.prompt, *tokens[:ONLINE]], tokens[ONLINE:], task.sampling))
    return texts


def continue_alone(
    drafter: Drafter, policy: TreePolicy, target: Target, texts: Sequence[CutText], *, learnt: bool
) -> list[Continuation]:
    """Have a drafter continue texts, with the target's features up to the cut (`learnt`) or without."""
    decoder = Decoder(drafter, Unplugged(target, learnt=learnt), policy)
    said = list[list[int]]()
    for part in _batches(texts):
        said += _say(decoder, part)
    return judge(target, texts, said)


def judge(target: Target, texts: Sequence[CutText], said: Sequence[Sequence[int]]) -> list[Continuation]:
    """Compare continuations with the target's own."""
    nlls = (nll for part in _batches([*zip(texts, said, strict=True)]) for nll in _nlls(target, part))
    judged = list[Continuation]()
    for text, tokens, nll in zip(texts, said, nlls, strict=True):
        right = tuple(one == other for one, other in zip_longest(tokens, text.wanted))
        judged.append(Continuation(tuple(tokens), right, nll, _python(target, text, tokens)))
    return judged


def _say(decoder: Decoder, texts: Sequence[CutText]) -> list[list[int]]:
    """Let the drafter continue until it has no guess for any text."""
    said = [list[int]() for _ in texts]
    prompts, sampling = [text.tokens for text in texts], [text.sampling for text in texts]
    for step in decoder.stream(prompts, sampling, Stop(ALONE, tokens=())):
        if not any(step.tokens):
            break
        for tokens, new in zip(said, step.tokens, strict=True):
            tokens += new
    return said


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


@torch.no_grad()
def _nlls(target: Target, rows: Sequence[tuple[CutText, Sequence[int]]]) -> list[float]:
    whole = [[*text.tokens, *said] for text, said in rows]
    longest = max(map(len, whole))
    padded = torch.tensor([row + row[-1:] * (longest - len(row)) for row in whole], device=target.model.device)
    log_probs = target.model(padded, use_cache=False).logits.float().log_softmax(-1)
    nlls = list[float]()
    for row, (text, said) in enumerate(rows):
        places = torch.arange(len(text.tokens) - 1, len(whole[row]) - 1)
        nlls.append(-float(log_probs[row, places, torch.tensor(said, dtype=torch.long)].sum()))
    return nlls


def _python(target: Target, text: CutText, said: Sequence[int]) -> bool | None:
    if target.tokenizer is None:
        raise ModelError("expected a target with a tokenizer, got one without")
    before, after = (
        str(target.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        for tokens in (text.tokens, [*text.tokens, *said])
    )
    return parses(after) if parses(before) else None
