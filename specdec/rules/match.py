"""Sample the target, follow the tree."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from specdec.chance import Dice
from specdec.interfaces import Rule, TargetProbs, Walk
from specdec.prefix import Prefix
from specdec.sampling import plain, require_finite
from specdec.transfer import upload
from specdec.tree import Tree


class Match(Rule):
    """Go down the tree for as long as it holds what the target itself says: `argmax(scores + temperature * noise)`.

    The target's noise depends on seed and position alone, so the output is the same for every tree, and
    for none: exact whatever the tree's origin, and optimal for placed ones (Daliri, Musco and Suresh,
    arXiv 2408.07978, carry the idea of shared noise).
    """

    repeatable = True
    in_order = True

    def walk(self, tree: Tree, probs: TargetProbs, dice: Dice) -> Walk:
        return _follow(tree, lambda node: dice.target(probs(node), tree.depths[node]))

    def decide(
        self, trees: Sequence[Tree], logits: Float[Tensor, "R N V"], prefixes: Sequence[Prefix]
    ) -> list[Walk | Exception]:
        """Choose after all nodes at once where logits are chosen from as they are, and node by node elsewhere."""
        noises = [_noise(tree, prefix, logits) for tree, prefix in zip(trees, prefixes, strict=True)]
        at_once = [row for row, noise in enumerate(noises) if noise is not None and plain(prefixes[row].sampling)]
        tokens = dict(zip(at_once, _choose_all(trees, logits, noises, at_once), strict=True))
        return [
            self._attempt(tree, logits[row], prefix)
            if noise is None
            else _attempt(tree, logits[row], prefix, noise, tokens.get(row))
            for row, (tree, prefix, noise) in enumerate(zip(trees, prefixes, noises, strict=True))
        ]


def _attempt(
    tree: Tree, logits: Float[Tensor, "N V"], prefix: Prefix, noise: Float[Tensor, " D #V"], tokens: list[int] | None
) -> Walk | Exception:
    """Follow the tokens chosen so far, and choose the others; give what went wrong if anything did."""

    def choose(node: int) -> int:
        if tokens is not None and tokens[node] >= 0:
            return tokens[node]
        row = prefix.scores(tree, node, logits[node]) + noise[tree.depths[node]]
        best, token = row.max(-1)
        require_finite(best.item(), logits[node], len(prefix.tokens) + tree.depths[node])
        return int(token)

    try:
        return _follow(tree, choose)
    except Exception as error:
        return error


def _follow(tree: Tree, choose: Callable[[int], int]) -> Walk:
    """Go down the tree by the tokens that are chosen after its nodes."""
    path, node = list[int](), 0
    while True:
        token = choose(node)
        node = next((child for child in tree.children[node] if tree.tokens[child] == token), 0)
        if node == 0:
            return Walk(path, token)
        path.append(node)


def _noise(tree: Tree, prefix: Prefix, logits: Float[Tensor, "R N V"]) -> Float[Tensor, " D #V"] | None:
    """Scale the noise that is added at each depth of a tree; None where there is none to look at, as in a proof."""
    temperature, depths = prefix.sampling.temperature, range(tree.depth + 1)
    if temperature == 0:
        return logits.new_zeros(len(depths), 1, dtype=torch.float32)
    noise = prefix.dice.scaled_noise(depths, logits.shape[-1], temperature)
    return None if noise is None else upload(logits.device, torch.from_numpy(noise))[0]


def _choose_all(
    trees: Sequence[Tree],
    logits: Float[Tensor, "R N V"],
    noises: Sequence[Float[Tensor, " _ #V"] | None],
    rows: Sequence[int],
) -> list[list[int]]:
    """Choose a token after each node of these rows, on the logits' device; -1 where none is finite."""
    if not rows:
        return []
    wide = torch.promote_types(logits.dtype, torch.float32)
    chosen_from = logits[_index(logits, rows)] if len(rows) < len(logits) else logits
    chosen_from = chosen_from.to(wide, copy=True)
    for place, row in enumerate(rows):
        noise, depths = noises[row], trees[row].depths
        if noise is not None and noise.shape[-1] > 1:
            chosen_from[place, : len(depths)] += noise[_index(noise, depths)]
    best, tokens = chosen_from.max(-1)  # the lowest id of equal ones, and that of a NaN if there is any
    choices: list[list[int]] = tokens.where(best.isfinite(), -1).tolist()
    return choices


def _index(tensor: Tensor, numbers: Sequence[int]) -> Int[Tensor, " _"]:
    """Make an index of a tensor, where it is."""
    return upload(tensor.device, torch.tensor(numbers))[0]
