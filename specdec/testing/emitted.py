"""The exact law of what one step says, and how far it is from the target's."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from attrs import frozen

from specdec.chance import Chance, Dice, Probs
from specdec.interfaces import Rule
from specdec.testing.exhaustive import Weight, enumerate_outcomes
from specdec.testing.instances import Instance, Path, path_tokens
from specdec.tree import Tree

Grown = list[tuple[Weight, Tree]]
"""A drafter's law of trees: probabilities, and the trees."""


@frozen(eq=False)
class Emitted:
    """What a step says: `said[z]` is the probability that it decides the tokens z, the target's own last one included.

    A step is lossless exactly if for every prefix s that it goes beyond, the next token has the target's law
    after s: `starting(s + x) = beyond(s) p(x | s)`. That is the same as padding each z with the target's own
    words and comparing, and names the place where it fails.
    """

    said: dict[Path, Weight]

    @staticmethod
    def of(outcomes: Iterable[tuple[Weight, Path]]) -> "Emitted":
        """Add up outcomes."""
        said: dict[Path, Weight] = defaultdict(int)
        for weight, tokens in outcomes:
            said[tokens] += weight
        return Emitted(dict(said))

    @property
    def expected_tokens(self) -> Weight:
        """Mean tokens decided by a step."""
        return sum(weight * len(tokens) for tokens, weight in self.said.items())

    def starting(self) -> dict[Path, Weight]:
        """Give the probability that what is said starts with each prefix."""
        starting: dict[Path, Weight] = defaultdict(int)
        for tokens, weight in self.said.items():
            for length in range(len(tokens) + 1):
                starting[tokens[:length]] += weight
        return starting

    def error(self, target: Callable[[Path], Probs]) -> Weight:
        """Give the largest violation of the criterion over all prefixes; 0 if and only if the step is lossless."""
        starting = self.starting()
        worst: Weight = abs(starting[()] - 1)
        for prefix, weight in list(starting.items()):
            beyond = weight - self.said.get(prefix, 0)
            if beyond == 0:
                continue
            for token, p in enumerate(target(prefix).tolist()):
                worst = max(worst, abs(starting.get((*prefix, token), 0) - beyond * p))
        return worst

    def distance(self, target: Callable[[Path], Probs]) -> Weight:
        """Give the total variation between what is said, padded with the target's own words, and the target's law."""
        starting, said = self.starting(), self.said

        def apart(prefix: Path, padding: Weight, likely: Weight) -> Weight:
            """Twice the distance below a prefix, `padding` of whose mass was said before it."""
            mass, stopped = starting.get(prefix, 0), said.get(prefix, 0)
            if mass == stopped:
                return abs(mass + padding - likely)
            rows = enumerate(target(prefix).tolist())
            return sum(apart((*prefix, x), (padding + stopped) * p, likely * p) for x, p in rows)

        return apart((), 0, 1) / 2


def grown(instance: Instance, grow: Callable[[Instance, Dice], Tree]) -> Grown:
    """Walk every tree that can be grown."""
    return list(enumerate_outcomes(lambda chance: grow(instance, _dice(chance))))


def emitted(rule: Rule, instance: Instance, trees: Grown) -> Emitted:
    """Walk every way in which a rule can decide on these trees."""
    return Emitted.of(
        (likely * weight, tokens)
        for likely, tree in trees
        for weight, tokens in enumerate_outcomes(partial(said, rule, instance, tree))
    )


def said(rule: Rule, instance: Instance, tree: Tree, chance: Chance) -> Path:
    """Have a rule decide on one tree."""
    walk = rule.walk(tree, 0, instance.law(tree), _dice(chance))
    return (*path_tokens(tree, 0, walk.path[-1] if walk.path else 0), walk.token)


def _dice(chance: Chance) -> Dice:
    return Dice(chance, seed=0, root=0)
