"""What a verifier checks of prompts and trees, before anything is changed."""

from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from specdec.errors import PromptError, TreeError
from specdec.nodes import Array
from specdec.options import Sampling
from specdec.tree import Tree


def check_prompts(
    tokens: Int[Tensor, "B T"],
    lengths: Int[Tensor, " B"],
    sampling: Sequence[Sampling],
    vocab_size: int,
    max_length: int | None,
) -> None:
    """Check that prompts are there, within the vocabulary, and leave room for an answer.

    Raises:
        PromptError: the message names the prompt and the value.
    """
    if not len(tokens) == len(lengths) == len(sampling) or len(tokens) == 0:
        raise PromptError(
            f"expected as many prompts, lengths and samplings, and at least one, "
            f"got {len(tokens)}, {len(lengths)} and {len(sampling)}"
        )
    for row, length in enumerate(lengths.tolist()):
        if not 1 <= length <= tokens.shape[1]:
            raise PromptError(f"expected prompt {row} to have 1 to {tokens.shape[1]} tokens, got {length}")
        if max_length is not None and length >= max_length:
            raise PromptError(
                f"expected prompt {row} to leave room in the model's {max_length} positions, got {length} tokens"
            )
        low, high = int(tokens[row, :length].min()), int(tokens[row, :length].max())
        if low < 0 or high >= vocab_size:
            raise PromptError(
                f"expected the ids of prompt {row} to be 0 to {vocab_size - 1}, got {low if low < 0 else high}"
            )


def check_tree(tree: Tree, rows: Sequence[Int[Array, " _"] | None], vocab_size: int, max_length: int | None) -> None:
    """Check that a tree continues the rows of a batch, of which None has left.

    Raises:
        TreeError: the message names the row and the value.
    """
    tokens, parents = tree.lists.tokens, tree.lists.parents
    if len(tokens) != len(rows):
        raise TreeError(f"expected trees for {len(rows)} rows, got {len(tokens)}")
    for place, nodes in enumerate(zip(tokens, parents, strict=True)):
        _check_order(place, *nodes)
    roots, highest = [row[0] for row in tokens], max(map(max, tokens))
    for place, (root, decided) in enumerate(zip(roots, rows, strict=True)):
        last = None if decided is None else int(decided[-1])
        if root >= 0 and root != last:
            what = "no root, for it has left" if last is None else f"root {last}, its last decided token"
            raise TreeError(f"expected row {place} to have {what}; got {root}")
    if max(roots) < 0:
        raise TreeError("expected at least one row with a root, got none")
    if highest >= vocab_size:
        raise TreeError(f"expected tokens below {vocab_size}, got {highest}")
    lengths = [0 if decided is None else len(decided) for decided in rows]
    deepest = max(map(sum, zip(lengths, map(max, tree.lists.depths), strict=True)))
    if max_length is not None and deepest > max_length:
        raise TreeError(f"expected nodes within the model's {max_length} positions, got one at {deepest}")


def _check_order(row: int, tokens: list[int], parents: list[int]) -> None:
    """Check that every node but the root stands behind its parent."""
    for node, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
        behind = parent < 0 if node == 0 else 0 <= parent < node and tokens[parent] >= 0
        if token >= 0 and not behind:
            raise TreeError(f"expected node {node} of row {row} to stand behind its parent, got {parent} as its parent")
