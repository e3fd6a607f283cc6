"""Retrieval: what followed the last few tokens in other texts, and in this one."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Float, Int
from torch import Tensor

from specdec.context import Context
from specdec.drafters.datastore import Datastore
from specdec.drafters.matches import Tokens, matches
from specdec.errors import VocabularyMismatch
from specdec.frontier import Frontier
from specdec.grow import grow
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.target.loading import Name
from specdec.tree import Tree

NOTHING: Tokens = np.empty(0, np.int32)


@frozen
class Retrieval(Drafter):
    """Looks up what followed the last tokens in a datastore of texts, and in the sequence itself.

    It needs no model; texts that the target wrote serve best (REST: He et al., arXiv 2311.08252). The probability of a
    token is its share among what followed the longest match, smoothed by Witten and Bell's method with the shares for
    shorter matches. Of matches of the same length, those in the sequence count more.
    """

    policy = "dynamic:depth=4,width=4,size=8"

    datastore: Datastore

    @classmethod
    def load(cls, path: Name, target: Verifier | None = None, longest: int = 4) -> "Retrieval":
        """Load a datastore, which `python -m specdec.training.datastore` makes, for matches of up to `longest` tokens.

        Raises:
            DataError: there is none in that file.
            OptionError: `longest` is below 1 or above 64.
            VocabularyMismatch: it has tokens that the target does not have.
        """
        store = Datastore.load(path, longest)
        if target is not None and store.vocabulary[-1] >= target.vocab_size:
            raise VocabularyMismatch(
                f"expected a datastore of the target's {target.vocab_size} tokens, got token {store.vocabulary[-1]}"
            )
        return cls(store)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        texts = {number: np.array(context.tokens[number], np.int32) for number in context.active}
        vocabulary, shares = self.datastore.with_tokens(np.concatenate([*texts.values(), NOTHING]))
        longest = self.datastore.longest

        def score(frontier: Frontier) -> Float[Tensor, "R M W"]:
            probs = np.zeros((*frontier.tokens.shape, len(vocabulary)), np.float32)
            for row, (number, tree) in enumerate(zip(frontier.sequences, frontier.trees, strict=True)):
                for place, node in enumerate(frontier.nodes[row]):
                    path = [tree.tokens[above] for above in tree.path(node)]
                    suffix = [*context.tokens[number][-longest:], *path][-longest:]
                    probs[row, place] = self._probs(texts[number], suffix, vocabulary, shares)
            return torch.from_numpy(probs).log()

        return grow(context, policy, score, torch.from_numpy(vocabulary.astype(np.int64)))

    def _probs(
        self, text: Tokens, suffix: Sequence[int], vocabulary: Int[np.ndarray, " W"], shares: Float[np.ndarray, " W"]
    ) -> Float[np.ndarray, " W"]:
        """Estimate the probability of each token of the vocabulary."""
        probs = shares.copy()
        there, here = self.datastore.followers(suffix), (text[ends + 1] for ends in matches(text, suffix))
        pairs = zip_longest(there, here, fillvalue=NOTHING)
        for found in (found for pair in pairs for found in pair if len(found)):
            tokens, counts = np.unique(found, return_counts=True)
            probs *= len(tokens) / (len(found) + len(tokens))
            probs[vocabulary.searchsorted(tokens)] += counts / (len(found) + len(tokens))
        return probs
