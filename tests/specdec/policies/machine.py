"""A machine on which everything takes a given time: a target, a drafter that is often right, and their clock."""

from collections.abc import Callable, Sequence
from functools import cache
from math import inf, log
from random import Random
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from specdec import Context, Decoder, Drafter, Frontier, Needs, Sampling, Step, Stop, Tree, TreePolicy, Verifier, grow

VOCAB = 12
Seconds = Callable[[int], float]


class Machine(Verifier):
    """Says a fixed text, and takes `seconds` for a pass of so many nodes."""

    vocab_size = VOCAB
    repeatable = True

    def __init__(self, seconds: Seconds, noise: float = 0.0) -> None:
        self.seconds, self.now, self._noise = seconds, 0.0, noise
        self._random, self._lengths = Random(5), list[int]()

    def clock(self) -> float:
        return self.now

    def take(self, seconds: float) -> None:
        """Let time pass; now and then the machine has something else to do."""
        busy = self._noise and self._random.random() < 0.05
        self.now += seconds * (1 + self._noise * self._random.random() + (5 if busy else 0))

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        self._lengths = [len(prompt) for prompt in prompts]
        return Step([list(prompt[1:]) for prompt in prompts], [0] * len(prompts))

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        read = [tree for tree in trees if tree is not None]
        self.take(self.seconds(len(read) * max(map(len, read))))
        tokens = [[] if tree is None else self._decide(row, tree) for row, tree in enumerate(trees)]
        return Step(tokens, [max(len(new) - 1, 0) for new in tokens])

    def _decide(self, row: int, tree: Tree) -> list[int]:
        start = self._lengths[row]
        path = tree.follow([said(start + ahead) for ahead in range(tree.depth)])
        self._lengths[row] += len(path) + 1
        return [said(start + ahead) for ahead in range(len(path) + 1)]


class Guesser(Drafter):
    """Knows the text with a chance that depends on the position, and says so, if `honest`; a level takes `seconds`.

    Where there is no chance it may be `silent`, as a look-up without a match. It reads what it has not read yet before
    it drafts, which takes `reading` seconds a token, and `stall` more the first time.
    """

    policy = "chain"

    def __init__(
        self,
        machine: Machine,
        seconds: float,
        chances: Callable[[int], float],
        honest: float = 1.0,
        silent: bool = False,
        reading: float = 0.0,
        stall: float = 0.0,
    ) -> None:
        self.machine, self.seconds, self.chances = machine, seconds, chances
        self.honest, self.silent, self.reading, self._read, self._stall = honest, silent, reading, 0, stall

    def begin(self, context: Context) -> None:
        self._read = 0

    def unread(self, context: Context) -> int:
        return sum(map(len, context.tokens)) - self._read if self.reading else 0

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        def score(frontier: Frontier) -> Float[Tensor, "R M V"]:
            self.machine.take(self.seconds + self.reading * self.unread(context) + self._stall)
            self._read, self._stall = sum(map(len, context.tokens)), 0.0
            logits = torch.empty(*frontier.tokens.shape, VOCAB)
            for row, (number, tree) in enumerate(zip(frontier.sequences, frontier.trees, strict=True)):
                for place, node in enumerate(frontier.nodes[row]):
                    position = len(context.tokens[number]) + tree.depths[node]
                    path = [tree.tokens[above] for above in tree.path(node)]
                    logits[row, place] = torch.tensor(self._guess(position, path))
            return logits

        return grow(context, policy, score)

    def _guess(self, position: int, path: Sequence[int]) -> list[float]:
        """Logits; after a path that is not the text, about tokens at random."""
        chance, random = self.chances(position), Random(f"{position}")
        start = position - len(path)
        if self.silent and chance == 0:
            return [-inf] * VOCAB
        if any(token != said(start + ahead) for ahead, token in enumerate(path)):
            random, right = Random(f"{position} {path}"), -1
        else:
            right = said(position)
        first = right if right >= 0 and random.random() < chance else random.randrange(VOCAB)
        second = right if right >= 0 and random.random() < 0.5 * chance else random.randrange(VOCAB)
        shown = chance**self.honest
        probs = [0.1 * (1 - shown) / VOCAB] * VOCAB
        probs[second] += 0.6 * (1 - shown)
        probs[first] += shown
        return [log(prob) for prob in probs]


@cache
def said(position: int) -> int:
    """The text's token at a position."""
    return Random(position).randrange(VOCAB)


def speed(policy: TreePolicy, drafter: Callable[[Machine], Drafter], seconds: Seconds, **options: Any) -> float:
    """Tokens per second of the machine, reading of the prompts left out."""
    machine = Machine(seconds, options.get("noise", 0.0))
    prompts = [[0] * options.get("prompt", 1)] * options.get("rows", 1)
    decoder = Decoder(drafter(machine), machine, policy, clock=machine.clock)
    texts = [
        decoder.generate(prompts, stop=Stop(options.get("tokens", 600))).tokens for _ in range(options.get("texts", 1))
    ]
    return sum(len(row) for tokens in texts for row in tokens) / machine.now
