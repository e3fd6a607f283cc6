"""Does a drafter draft, for every batch, and forget the last one?"""

from collections.abc import Callable, Sequence
from copy import deepcopy

from attrs import evolve, frozen

from specdec.context import Context
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.options import Sampling, Stop
from specdec.plugins import load_policy
from specdec.policies import Adaptive, Chain, Dynamic, Hybrid, Static
from specdec.target.checks import check_tree
from specdec.target.verifier import Target
from specdec.testing.guards import checking, described
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
    every policy, over ragged batches whose sequences end at different times, each batch twice (forgetting is the
    classic bug), and once more without features, as when the target is out of reach. Then it is closed, and decodes
    with the policy that it names.

    Raises:
        AssertionError: the message says what was broken, with which policy, at which temperature and on which tree.
    """
    verifier = target() if target is not None else Target(toy_model())
    drafter = factory(verifier)
    with checking("the drafter's own policy"):
        own = load_policy(drafter.policy)
    for temperature in (0.0, 1.0):
        batches = _batches(verifier, temperature)
        for policy in policies:
            with checking(f"{policy} at temperature {temperature:g}"):
                for batch in batches:
                    batch.check(_Watched(drafter, verifier), verifier, policy)
        with checking(f"{Chain(2)} at temperature {temperature:g}, without features"):
            batches[0].check(_Watched(drafter, verifier, blind=True), verifier, Chain(2))
    drafter.close()
    with checking(f"{own}, after the drafter was closed"):
        batches[0].check(_Watched(drafter, verifier), verifier, own)
    drafter.close()


class _Watched(Drafter):
    """Looks at what is proposed."""

    def __init__(self, drafter: Drafter, verifier: Verifier, blind: bool = False) -> None:
        self.drafter, self.verifier, self.blind = drafter, verifier, blind
        self.needs, self.vocab_size = drafter.needs, drafter.vocab_size

    def begin(self, context: Context) -> None:
        self.drafter.begin(context)

    def unread(self, context: Context) -> int:
        return self.drafter.unread(context)

    def cut(self, lengths: Sequence[int]) -> None:
        self.drafter.cut(lengths)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        before = deepcopy((context.tokens, context.limits, context.done))
        step = evolve(context.step, features=()) if self.blind else context.step
        trees = self.drafter.propose(evolve(context, step=step), policy)
        if (context.tokens, context.limits, context.done) != before:
            raise AssertionError("expected the drafter to leave the context as it is")
        if [tree is None for tree in trees] != context.done:
            raise AssertionError(f"expected None for each sequence that is done, {context.done}, got {trees}")
        for number in context.active:
            self._check(trees[number], context, number)
        return trees

    def _check(self, tree: Tree | None, context: Context, number: int) -> None:
        if not isinstance(tree, Tree):
            raise AssertionError(f"expected a Tree for sequence {number}, got {tree!r}")
        with checking(described(tree)):
            check_tree(tree, context.tokens[number], self.verifier.vocab_size, None, f"sequence {number}")
            if tree.depth > context.room[number]:
                raise AssertionError(
                    f"expected at most {context.room[number]} levels in sequence {number}, got {tree.depth}"
                )


@frozen
class _Batch:
    """Prompts, and what plain decoding gives for each by itself."""

    prompts: list[list[int]]
    sampling: tuple[Sampling, ...]
    limit: int
    plain: Sequence[tuple[int, ...]] = ()

    def decode(self, drafter: Drafter, verifier: Verifier, policy: TreePolicy) -> tuple[tuple[int, ...], ...]:
        """Some sequences end early, at a token like any other."""
        stop = Stop(self.limit, tokens=(5,))
        return Decoder(drafter, verifier, policy).generate(self.prompts, self.sampling, stop).tokens

    def check(self, drafter: Drafter, verifier: Verifier, policy: TreePolicy) -> None:
        texts = self.decode(drafter, verifier, policy)
        for number, (text, plain) in enumerate(zip(texts, self.plain, strict=True)):
            if text != plain:
                raise AssertionError(f"expected sequence {number} to be {plain} as plain decoding gives, got {text}")


def _batches(verifier: Verifier, temperature: float) -> list[_Batch]:
    """Three sequences twice, then one of them, then two: with others, and fewer."""
    size, places = min(verifier.vocab_size, 16), map(range, LENGTHS)
    prompts = [[(3 * number + place * place) % size for place in row] for number, row in enumerate(places)]
    sampling = Sampling(temperature=temperature, seed=7).spread(len(prompts))
    batches = []
    for limit, part in ((8, slice(0, 3)), (5, slice(1, 2)), (6, slice(1, 3))):
        alone = [_Batch([prompt], (one,), limit) for prompt, one in zip(prompts[part], sampling[part], strict=True)]
        plain = [batch.decode(NoDrafter(), verifier, Chain(1))[0] for batch in alone]
        batches.append(_Batch(prompts[part], sampling[part], limit, plain))
    return [batches[0], *batches]
