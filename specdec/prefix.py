"""One sequence as far as it is decided: what a rule continues from."""

from collections.abc import Callable

from attrs import frozen
from jaxtyping import Float
from torch import Tensor

from specdec.chance import Dice, Noise, Probs
from specdec.options import Sampling
from specdec.sampling import probs
from specdec.tree import Tree


@frozen(eq=False)
class Prefix:
    """The decided tokens of one sequence, the root of its tree the last, and how it is sampled."""

    tokens: list[int]
    sampling: Sampling
    noise: Noise

    @property
    def dice(self) -> Dice:
        """The chances of the coming step."""
        return self.noise.dice(len(self.tokens) - 1)

    def history(self, tree: Tree, node: int) -> list[int]:
        """List the tokens from the start of the sequence to a node of its tree."""
        return [*self.tokens, *(tree.tokens[step] for step in tree.path(node))]

    def probs(self, tree: Tree, logits: Float[Tensor, "N V"]) -> Callable[[int], Probs]:
        """Give the target's probabilities after each node that is asked about.

        Raises:
            NonFiniteLogits: the function that it gives, where a node has none.
        """
        return lambda node: probs(self.sampling, self.history(tree, node), logits[node])
