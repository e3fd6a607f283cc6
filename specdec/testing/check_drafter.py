"""Does a drafter draft, for every batch, and forget the last one?"""

from collections.abc import Callable, Iterator, Sequence

import torch
from attrs import evolve, frozen

from specdec.context import Context
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.options import Sampling, Stop
from specdec.policies import Adaptive, Chain, Dynamic, Hybrid, Static
from specdec.target.verifier import Target
from specdec.testing.toys import toy_model
from specdec.tree import Tree

POLICIES: tuple[TreePolicy, ...] = (
    Chain(3),
    Chain(3, sampled=True),
    Static((3, 2)),
    Static((2, 2), sampled=True),
    Hybrid((3, 2)),
    Dynamic(depth=3, width=3, size=6),
    Adaptive(size=6, depth=4, width=2),
)
LENGTHS = (9, 1, 14)


def check_drafter(
    factory: Callable[[Verifier], Drafter],
    target: Callable[[], Verifier] | None = None,
    policies: Sequence[TreePolicy] = POLICIES,
) -> None:
    """Decode with a drafter, and compare with plain decoding of each prompt by itself.

    `factory` makes the drafter for a verifier: a toy target, unless one is given. At temperatures 0 and 1, with
    every policy, over ragged batches whose rows end at different times, each batch twice (forgetting is the
    classic bug), and once more without features, as when the target is out of reach.

    Raises:
        AssertionError: the message says with which policy, and what was broken.
    """
    verifier = target() if target is not None else Target(toy_model())
    drafter = factory(verifier)
    for temperature in (0.0, 1.0):
        batches = _batches(verifier, temperature)
        for policy in policies:
            for batch in batches:
                batch.check(_Watched(drafter), verifier, policy)
        batches[0].check(_Watched(drafter, blind=True), verifier, Chain(2))
    drafter.close()


class _Watched(Drafter):
    """Looks at what is proposed."""

    def __init__(self, drafter: Drafter, blind: bool = False) -> None:
        self.drafter, self.blind = drafter, blind
        self.needs, self.vocab_size = drafter.needs, drafter.vocab_size

    def begin(self, context: Context) -> None:
        self.drafter.begin(context)

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        seen = evolve(context, step=evolve(context.step, features=None)) if self.blind else context
        tree = self.drafter.propose(seen, policy)
        if not torch.equal(tree.tokens[:, 0], context.roots):
            raise AssertionError(f"expected trees under the roots {context.roots.tolist()}, got {tree.tokens[:, 0]}")
        if bool((tree.nodes & context.done[:, None]).any()):
            raise AssertionError("expected no tree for rows that are done")
        if bool((tree.depths > context.room[:, None]).any()):
            raise AssertionError(f"expected no node deeper than a row has room for, {context.room.tolist()}")
        return tree


@frozen
class _Batch:
    """Prompts, and what plain decoding says of each by itself."""

    prompts: list[list[int]]
    sampling: tuple[Sampling, ...]
    limit: int
    plain: list[list[int]]

    def check(self, drafter: Drafter, verifier: Verifier, policy: TreePolicy) -> None:
        said = _decode(drafter, verifier, policy, self.prompts, self.sampling, self.limit)
        for row, (one, other) in enumerate(zip(said, self.plain, strict=True)):
            if one != other:
                how = f"{policy} at temperature {self.sampling[row].temperature:g}"
                raise AssertionError(f"expected row {row} to say {other} as plain decoding does, got {one} with {how}")


def _batches(verifier: Verifier, temperature: float) -> list[_Batch]:
    """Three rows twice, then one of them, then two: with other rows, and fewer."""
    prompts = list(_prompts(verifier))
    sampling = Sampling(temperature=temperature, seed=7).spread(len(prompts))
    found = []
    for limit, rows in ((8, slice(0, 3)), (5, slice(1, 2)), (6, slice(1, 3))):
        pairs = zip(prompts[rows], sampling[rows], strict=True)
        plain = [_decode(NoDrafter(), verifier, Chain(1), [prompt], (one,), limit)[0] for prompt, one in pairs]
        found.append(_Batch(prompts[rows], sampling[rows], limit, plain))
    return [found[0], *found]


def _prompts(verifier: Verifier) -> Iterator[list[int]]:
    for row, length in enumerate(LENGTHS):
        yield [(3 * row + place * place) % min(verifier.vocab_size, 16) for place in range(length)]


def _decode(
    drafter: Drafter,
    verifier: Verifier,
    policy: TreePolicy,
    prompts: Sequence[list[int]],
    sampling: Sequence[Sampling],
    limit: int,
) -> list[list[int]]:
    """Some rows end early, at a token like any other."""
    stop = Stop(limit, tokens=(5,))
    generation = Decoder(drafter, verifier, policy).generate(list(prompts), list(sampling), stop)
    return [list(tokens) for tokens in generation.tokens]
