"""One sequence as far as it is decided: what a rule continues from."""

from collections.abc import Callable

import torch
from attrs import field, frozen
from jaxtyping import Float
from torch import Tensor

from specdec.chance import Dice, Noise, Probs
from specdec.options import Sampling
from specdec.sampling import Processing, probs, scores, uses_history
from specdec.transfer import upload
from specdec.tree import Tree


@frozen(eq=False)
class Prefix:
    """The decided tokens of one sequence, the root of its tree the last, and how it is sampled."""

    tokens: list[int]
    sampling: Sampling
    noise: Noise
    _built: dict[torch.device, Processing] = field(factory=dict, init=False, repr=False)

    @property
    def dice(self) -> Dice:
        """The chances of the coming step."""
        return self.noise.dice(len(self.tokens) - 1)

    def history(self, tree: Tree, node: int) -> list[int]:
        """List the tokens from the start of the sequence to a node of its tree."""
        return [*self.tokens, *(tree.tokens[step] for step in tree.path(node))]

    def scores(self, tree: Tree, node: int, logits: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        """Process the target's logits after a node, as `specdec.sampling.scores` does."""
        return scores(self.sampling, self.history(tree, node), logits, self._processing(logits.device))

    def scores_after_all(self, tree: Tree, logits: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        """Process the target's logits after all nodes of a tree: at once, or if they look back those of each depth.

        It is not for processors of the user's own, which may be stateful.
        """
        processing, parts = self._processing(logits.device), list[Float[Tensor, "_ V"]]()
        if not uses_history(self.sampling):
            return scores(self.sampling, None, logits[: len(tree)], processing)
        levels = [[node for node in range(len(tree)) if tree.depths[node] == depth] for depth in range(tree.depth + 1)]
        order = torch.tensor([node for nodes in levels for node in nodes])
        by_level, back = upload(logits.device, order, order.argsort())
        for nodes, index in zip(levels, torch.split(by_level, list(map(len, levels))), strict=True):
            histories = [self.history(tree, node) for node in nodes]
            parts.append(scores(self.sampling, histories, logits[index], processing))
        return torch.cat(parts)[back]

    def probs(self, tree: Tree, logits: Float[Tensor, "N V"]) -> Callable[[int], Probs]:
        """Give the target's probabilities after each node that is asked about.

        Raises:
            NonFiniteLogits: the function that it gives, where a node has none.
        """
        processing = self._processing(logits.device)
        return lambda node: probs(self.sampling, self.history(tree, node), logits[node], processing)

    def probs_in_any_order(self, tree: Tree, logits: Float[Tensor, "N V"]) -> Callable[[int], Probs]:
        """Give the same, however often and in whatever order it is called for nodes.

        Stateful processors of the user's own are copied first, and the copies are run along the path to the node.
        """

        def ask(node: int) -> Probs:
            copies = self._processing(logits.device).copied(self.sampling)
            *above, last = 0, *tree.path(node)
            for earlier in above:
                probs(self.sampling, self.history(tree, earlier), logits[earlier], copies)
            return probs(self.sampling, self.history(tree, last), logits[last], copies)

        return ask

    def _processing(self, device: torch.device) -> Processing:
        """Build what is done to this sequence's logits, once."""
        if device not in self._built:
            self._built[device] = Processing.of(self.sampling, device)
        return self._built[device]
