"""Prompt lookup: what followed the last few tokens when they occurred before."""

from bisect import bisect_left
from collections.abc import Iterable
from functools import cache
from itertools import chain

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Float
from torch import Tensor

from specdec.bounds import bounds
from specdec.context import Context
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
        shares = cache(lambda number: _shares(context.tokens[number]))

        def score(frontier: Frontier) -> Float[Tensor, "R M C"]:
            probs = np.zeros((*frontier.tokens.shape, len(vocabulary) + 1), dtype=np.float32)
            for row, (number, tree) in enumerate(zip(frontier.sequences, frontier.trees, strict=True)):
                tokens = context.tokens[number]
                for place, node in enumerate(frontier.nodes[row]):
                    suffix = [*tokens[-self.longest :], *(tree.tokens[above] for above in tree.path(node))]
                    followers = self._followers(tokens, suffix, shares(number))
                    for token, prob in followers.items():
                        probs[row, place, bisect_left(vocabulary, token)] = prob
                    probs[row, place, -1] = max(1 - sum(followers.values()), 0.0)
            return torch.from_numpy(probs).log()

        return grow(context, policy, score, vocabulary)

    def _followers(self, tokens: list[int], suffix: list[int], shares: Followers) -> Followers:
        """Find what followed the longest match, as often as it did; `shares` is what a match of no tokens gives."""
        ends, matched, counts, probs = _ends(tokens, suffix[-1]), 0, shares, shares
        for length in range(min(self.longest, len(suffix))):
            ends = [end for end in ends if end >= length and tokens[end - length] == suffix[-1 - length]]
            if not ends:
                break
            counts, matched = _counts(tokens, ends), length + 1
            total, kinds = sum(counts.values()), len(counts)
            probs = {token: (count + kinds * probs[token]) / (total + kinds) for token, count in counts.items()}
        scale = sum(probs.values()) / sum(counts.values()) if matched >= self.shortest and counts else 0.0
        return {token: scale * count for token, count in counts.items() if scale}


def _shares(tokens: list[int]) -> Followers:
    """Give the share of each token of those that follow another."""
    counts = _counts(tokens, range(len(tokens) - 1))
    total = sum(counts.values())
    return {token: count / total for token, count in counts.items()}


def _counts(tokens: list[int], ends: Iterable[int]) -> Followers:
    """Count what follows these places, newer ones a little more."""
    counts: Followers = {}
    for end in ends:
        counts[tokens[end + 1]] = counts.get(tokens[end + 1], 0.0) + 1 + 0.01 * end / len(tokens)
    return counts


def _ends(tokens: list[int], token: int) -> list[int]:
    """List the places of a token that another follows."""
    places, place = list[int](), -1
    for _ in range(tokens[:-1].count(token)):
        place = tokens.index(token, place + 1)
        places.append(place)
    return places
