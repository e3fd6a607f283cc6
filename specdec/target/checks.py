"""What a target checks of prompts and trees, before anything is changed."""

from collections.abc import Sequence

from specdec.errors import OptionError, PromptError, TreeError
from specdec.features import Needs
from specdec.options import Sampling
from specdec.tree import Tree


def check_prompt(tokens: Sequence[int], vocab_size: int, max_length: int | None, name: str = "the prompt") -> None:
    """Check that a prompt is there, within the vocabulary, and leaves room for an answer.

    Raises:
        PromptError: the message names the prompt and the value.
    """
    if len(tokens) == 0:
        raise PromptError(f"expected {name} to have at least 1 token, got none")
    if strange := [token for token in tokens if not isinstance(token, int)]:
        raise PromptError(f"expected the ids of {name} to be of type int, got {strange[0]!r}")
    if max_length is not None and len(tokens) >= max_length:
        raise PromptError(
            f"expected {name} to leave room in the model's {max_length} positions, got {len(tokens)} tokens"
        )
    low, high = min(tokens), max(tokens)
    if low < 0 or high >= vocab_size:
        raise PromptError(f"expected the ids of {name} to be 0 to {vocab_size - 1}, got {low if low < 0 else high}")


def check_prompts(
    prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling], vocab_size: int, max_length: int | None
) -> None:
    """Check the prompts of a batch.

    Raises:
        PromptError: there is none, not as many as samplings, or `check_prompt` refuses one.
    """
    if len(prompts) != len(samplings) or not prompts:
        raise PromptError(
            f"expected as many prompts as samplings, and at least one; got {len(prompts)} and {len(samplings)}"
        )
    for number, prompt in enumerate(prompts):
        check_prompt(prompt, vocab_size, max_length, f"prompt {number}")


def check_needs(needs: Needs, layers: int) -> None:
    """Check that a model of so many layers has what a drafter reads, and that it reads nothing twice.

    Raises:
        OptionError: the message names the number.
    """
    for what, numbers, count in (
        ("hidden states", needs.hidden_states, layers + 1),
        ("layers of keys and values", needs.keys_values, layers),
    ):
        if strange := [number for number in numbers if not -count <= number < count]:
            raise OptionError(f"expected needs of {what} from {-count} to {count - 1}, got {strange[0]}")
        different = {number % count for number in numbers}
        if len(different) < len(numbers):
            raise OptionError(
                f"expected each of the needed {what} once, "
                f"got {len(numbers)} numbers for {len(different)} different ones"
            )


def check_trees(
    trees: Sequence[Tree | None], texts: Sequence[Sequence[int] | None], vocab_size: int, max_length: int | None
) -> None:
    """Check that there is a tree for at least one sequence, and none for those that have left: their text is None.

    Raises:
        TreeError: the message names the sequence and the value.
    """
    if len(trees) != len(texts):
        raise TreeError(f"expected trees for {len(texts)} sequences, got {len(trees)}")
    for number, (text, tree) in enumerate(zip(texts, trees, strict=True)):
        if tree is not None and text is None:
            raise TreeError(f"expected sequence {number} to have no tree, for it has left; got one")
        if tree is not None and text is not None:
            check_tree(tree, text, vocab_size, max_length, f"sequence {number}")
    if all(tree is None for tree in trees):
        raise TreeError("expected a tree for at least one sequence, got none")


def check_tree(
    tree: Tree, tokens: Sequence[int], vocab_size: int, max_length: int | None, name: str = "the sequence"
) -> None:
    """Check that a tree continues a sequence of decided tokens.

    Raises:
        TreeError: the message names the sequence and the value.
    """
    _check_lists(tree, name)
    if tree.tokens[0] != tokens[-1]:
        raise TreeError(f"expected {name} to have root {tokens[-1]}, its last decided token; got {tree.tokens[0]}")
    for node, (parent, depth) in enumerate(zip(tree.parents[1:], tree.depths[1:], strict=True), 1):
        if not 0 <= parent < node:
            raise TreeError(f"expected node {node} of {name} to come after its parent, got {parent} as its parent")
        if depth != tree.depths[parent] + 1:
            raise TreeError(f"expected node {node} of {name} one level below its parent, got depth {depth}")
    if min(tree.tokens) < 0 or max(tree.tokens) >= vocab_size:
        wrong = min(tree.tokens) if min(tree.tokens) < 0 else max(tree.tokens)
        raise TreeError(f"expected tokens of {name} to be 0 to {vocab_size - 1}, got {wrong}")
    deepest = len(tokens) + max(tree.depths)
    if max_length is not None and deepest > max_length:
        raise TreeError(f"expected nodes of {name} within the model's {max_length} positions, got one at {deepest}")


def _check_lists(tree: Tree, name: str) -> None:
    sizes = [len(part) for part in (tree.tokens, tree.parents, tree.scores, tree.depths)]
    if len(set(sizes)) > 1 or sizes[0] == 0:
        raise TreeError(f"expected a tree of {name} with as many tokens, parents, scores and depths, got {sizes}")
    numbers = [*tree.tokens, *tree.parents, *tree.depths]
    if {*map(type, numbers)} != {int}:
        strange = next(number for number in numbers if type(number) is not int)
        raise TreeError(f"expected tokens, parents and depths of {name} to be of type int, got {strange!r}")
    if tree.parents[0] != -1 or tree.depths[0] != 0:
        raise TreeError(
            f"expected the root of {name} to have parent -1 and depth 0, got {tree.parents[0]} and {tree.depths[0]}"
        )
