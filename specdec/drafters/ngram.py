"""Prompt lookup: what followed the last few tokens when they occurred before."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from itertools import chain, islice

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Float
from torch import Tensor

from specdec.bounds import bounds
from specdec.context import Context
from specdec.drafters.matches import Tokens, matches
from specdec.drafters.none import NoDrafter
from specdec.errors import OptionError
from specdec.frontier import Frontier
from specdec.grow import grow
from specdec.interfaces import Drafter, TreePolicy
from specdec.tree import Tree

Followers = dict[int, float]
"""How often, or how likely, each token followed a match."""


@frozen
class Ngram(Drafter):
    """Looks the longest possible suffix of a sequence up in the sequence itself, and counts what followed.

    Several matches make a tree. The counts share what the drafter is sure of, with newer matches slightly preferred, so
    that any policy can shape it (Saxena, "Prompt Lookup Decoding", 2023, for the idea). How sure it is that one of them
    follows grows with their number and the length of the match: it is their probability as smoothed by Witten and Bell
    over all shorter matches. A suffix of less than `shortest` tokens is no match; with 0, what is frequent in the
    sequence is guessed where nothing else is known, which pays when sampling.
    """

    policy = "adaptive:size=8,depth=8,width=1"

    longest: int = field(default=3, validator=bounds(0))
    shortest: int = field(default=1, validator=bounds(0))

    @shortest.validator
    def _ordered(self, _: object, shortest: int) -> None:
        if shortest > self.longest:
            raise OptionError(f"expected shortest <= longest, got {shortest} and {self.longest}")

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        if self.shortest and not any(context.tokens[i][-1] in context.tokens[i][:-1] for i in context.active):
            return NoDrafter().propose(context, policy)  # which takes no longer than plain decoding
        vocabulary = sorted(set(chain.from_iterable(context.tokens)))
        texts = cache(lambda number: np.array(context.tokens[number]))
        shares = cache(lambda number: _shares(texts(number)))

        def score(frontier: Frontier) -> Float[Tensor, "R M C"]:
            probs = np.zeros((*frontier.tokens.shape, len(vocabulary) + 1), dtype=np.float32)
            for row, (number, tree) in enumerate(zip(frontier.sequences, frontier.trees, strict=True)):
                tokens = context.tokens[number]
                for place, node in enumerate(frontier.nodes[row]):
                    suffix = [*tokens[-self.longest :], *(tree.tokens[above] for above in tree.path(node))]
                    followers = self._followers(texts(number), suffix, shares(number))
                    for token, prob in followers.items():
                        probs[row, place, bisect_left(vocabulary, token)] = prob
                    probs[row, place, -1] = max(1 - sum(followers.values()), 0.0)
            return torch.from_numpy(probs).log()

        return grow(context, policy, score, vocabulary)

    def _followers(self, text: Tokens, suffix: Sequence[int], shares: Followers) -> Followers:
        """Find what followed the longest match, as often as it did; `shares` is what a match of no tokens gives."""
        matched, counts, probs = 0, shares, shares
        for matched, ends in enumerate(islice(matches(text, suffix), self.longest), 1):  # noqa: B007  (the last counts)
            counts = _counts(text, ends)
            total, kinds = sum(counts.values()), len(counts)
            probs = {token: (count + kinds * probs[token]) / (total + kinds) for token, count in counts.items()}
        scale = sum(probs.values()) / sum(counts.values()) if matched >= self.shortest and counts else 0.0
        return {token: scale * count for token, count in counts.items() if scale}


def _shares(text: Tokens) -> Followers:
    """Give the share of each token of those that follow another."""
    counts = _counts(text, np.arange(len(text) - 1))
    total = sum(counts.values())
    return {token: count / total for token, count in counts.items()}


def _counts(text: Tokens, ends: Tokens) -> Followers:
    """Count what follows these places, newer ones a little more."""
    counts: Followers = {}
    for end, token in zip(ends.tolist(), text[ends + 1].tolist(), strict=True):
        counts[token] = counts.get(token, 0.0) + 1 + 0.01 * end / len(text)
    return counts
