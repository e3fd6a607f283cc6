"""The exact distribution of what one step decides, and how far it is from the target's."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from attrs import frozen

from specdec.chance import Chance, Dice, Probs
from specdec.interfaces import Rule
from specdec.testing.exhaustive import Weight, enumerate_outcomes
from specdec.testing.instances import Instance, Path, path_tokens
from specdec.tree import Tree

Forest = list[tuple[Weight, Tree]]
"""All trees that can be grown, with their probabilities."""


@frozen(eq=False)
class Output:
    """What a step decides: `probs[z]` is the probability of the tokens z, the bonus token included.

    A step is lossless exactly if for every prefix s that it goes beyond, the next token has the target's probabilities
    after s: `starting(s + x) = beyond(s) p(x | s)`. That is the same as padding each z with the target's own
    tokens and comparing, and names the place where it fails.
    """

    probs: dict[Path, Weight]

    @staticmethod
    def of(outcomes: Iterable[tuple[Weight, Path]]) -> "Output":
        """Add up outcomes."""
        probs: dict[Path, Weight] = defaultdict(int)
        for weight, tokens in outcomes:
            probs[tokens] += weight
        return Output(dict(probs))

    @property
    def expected_tokens(self) -> Weight:
        """Mean tokens decided by a step."""
        return sum(weight * len(tokens) for tokens, weight in self.probs.items())

    def starting(self) -> dict[Path, Weight]:
        """Give the probability of each prefix."""
        starting: dict[Path, Weight] = defaultdict(int)
        for tokens, weight in self.probs.items():
            for length in range(len(tokens) + 1):
                starting[tokens[:length]] += weight
        return starting

    def error(self, target: Callable[[Path], Probs]) -> Weight:
        """Give the largest violation of the criterion over all prefixes; 0 if and only if the step is lossless."""
        starting = self.starting()
        worst: Weight = abs(starting[()] - 1)
        for prefix, weight in list(starting.items()):
            beyond = weight - self.probs.get(prefix, 0)
            if beyond == 0:
                continue
            for token, p in enumerate(target(prefix).tolist()):
                worst = max(worst, abs(starting.get((*prefix, token), 0) - beyond * p))
        return worst

    def distance(self, target: Callable[[Path], Probs]) -> Weight:
        """Give the total variation between what is decided, padded with the target's own tokens, and the target."""
        starting, probs = self.starting(), self.probs

        def apart(prefix: Path, padding: Weight, likely: Weight) -> Weight:
            """Twice the distance below a prefix, `padding` of whose mass was decided before it."""
            mass, stopped = starting.get(prefix, 0), probs.get(prefix, 0)
            if mass == stopped:
                return abs(mass + padding - likely)
            rows = enumerate(target(prefix).tolist())
            return sum(apart((*prefix, x), (padding + stopped) * p, likely * p) for x, p in rows)

        return apart((), 0, 1) / 2


def all_trees(instance: Instance, grow: Callable[[Instance, Dice], Tree]) -> Forest:
    """Walk every tree that can be grown."""
    return list(enumerate_outcomes(lambda chance: grow(instance, _dice(chance))))


def output(rule: Rule, instance: Instance, trees: Forest) -> Output:
    """Walk every way in which a rule can decide on these trees."""
    return Output.of(
        (likely * weight, tokens)
        for likely, tree in trees
        for weight, tokens in enumerate_outcomes(partial(decide, rule, instance, tree))
    )


def decide(rule: Rule, instance: Instance, tree: Tree, chance: Chance) -> Path:
    """Have a rule decide on one tree; give the tokens."""
    walk = rule.walk(tree, instance.probs(tree), _dice(chance))
    return (*path_tokens(tree, walk.path[-1] if walk.path else 0), walk.bonus)


def _dice(chance: Chance) -> Dice:
    return Dice(chance, seed=0, root=0)
