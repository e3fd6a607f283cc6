"""Trees that fork at the target's own next tokens."""

from specdec import Needs, Sampling, Step, Target, Tree
from tests.plain import decode_plainly
from tests.toys import VOCAB, tiny

NOTHING = Needs()
NEEDS = Needs(hidden_states=(0, 1, -1), keys_values=(1, 0))


def prefill(target: Target, prompts: list[list[int]], needs: Needs = NOTHING) -> Step:
    return target.prefill(prompts, needs, [Sampling()] * len(prompts))


def forked(prompts: list[list[int]]) -> list[Tree | None]:
    """Under each root the target's own next two tokens, and a wrong sibling before each."""
    trees: list[Tree | None] = []
    for tokens in prompts:
        first, second, _ = decode_plainly(tiny(), tuple(tokens), Sampling(), 3)
        wrong = [(first + 1) % VOCAB, (second + 1) % VOCAB]
        trees.append(Tree.of([tokens[-1], wrong[0], first, wrong[1], second], [-1, 0, 0, 2, 2]))
    return trees
