"""36 to 47: the token after the path comes from the wrong probabilities, or from the wrong row."""

import numpy as np

from specdec.chance import Chance, Dice
from specdec.interfaces import Walk
from specdec.rules import Match, Rejection, Traversal, traversal
from specdec.rules.arithmetic import normalised
from specdec.testing.exhaustive import Exhaustive, enumerate_outcomes
from specdec.testing.instances import Instance
from specdec.testing.output import Output, all_trees, decide, output
from specdec.testing.shapes import Shape
from specdec.tree import Tree
from tests.mutants.mutant import mutant
from tests.mutants.walking import CHAIN, PLACED, TREE, TopDown, distance

ONE = Shape((0,), (True,))


class Residual(TopDown):
    """Corrects by probabilities of its own once all children were rejected."""

    def last(self, p, node, dice, probs, tree, tried):
        over = self.over(probs(node), self.q, self.token) if tried else probs(node)
        return dice.residual(over if over.sum() > 0 else probs(node), node)

    def rest(self, p, q, token):
        self.q, self.token = q, token
        return super().rest(p, q, token)


@mutant(36, "residual_is_p", "ENUM")
def residual_is_p():
    class Wrong(Residual):
        def over(self, p, q, token):
            return p

    return distance(Wrong(), ONE)


@mutant(37, "residual_sign", "ENUM")
def residual_sign():
    class Wrong(Residual):
        def over(self, p, q, token):
            return np.maximum(q - p, 0)

    return distance(Wrong(), ONE)


@mutant(37, "residual_abs", "ENUM")
def residual_abs():
    class Wrong(Residual):
        def over(self, p, q, token):
            return abs(p - q)

    return distance(Wrong(), ONE)


@mutant(38, "residual_delta", "ENUM")
def residual_delta():
    class Wrong(Residual):
        def over(self, p, q, token):
            left = p.copy()
            left[token] = 0
            return left

    return distance(Wrong(), ONE)


@mutant(39, "residual_unnormalised", "COVER, ENUM", "SGLang 22643, TRT-LLM v1")
def residual_unnormalised():
    """A uniform number runs over a mass below one, and falls on the last id."""

    class Wrong(Residual):
        def over(self, p, q, token):
            over = np.maximum(p - q, 0)
            over[-1] += 1 - over.sum()
            return over

    return distance(Wrong(), ONE)


@mutant(40, "residual_softmaxed", "ENUM", "DSSD")
def residual_softmaxed():
    class Wrong(Residual):
        def over(self, p, q, token):
            return np.exp(normalised(np.maximum(p - q, 0), otherwise=p).astype(float))

    return float(distance(Wrong(), ONE))


class Unlucky(Chance):
    """Rejects whatever can be rejected, and draws from probabilities alone."""

    def draw(self, weights, count, key):
        assert np.isfinite(weights).all(), "NaN where a probability should be"
        assert weights.sum() > 0, "nothing to draw from"
        return [int(token) for token in np.argsort(-weights)[: min(count, np.count_nonzero(weights))]]

    def coin(self, accept, of, key):
        return (1 - 2.0**-53) * float(of) < float(accept)


def survives_rounding(rule) -> None:
    """A target that is its drafter but for rounding leaves nothing over when it rejects; that must do no harm."""
    q = np.array([0.2, 0.3, 0.5], dtype=np.float32)
    p = np.array([q[0] - np.float32(1.5e-8), q[1], q[2]], dtype=np.float32)
    tree = Tree.root(0).draw(0, 1, q, Dice(_First(), 0, 0))
    walk = rule.walk(tree, lambda node: p.copy(), Dice(Unlucky(), 0, 0))
    assert 0 <= walk.bonus < 3, "an id outside the vocabulary"
    assert p[walk.bonus] > 0, "a token without probability"


class _First(Chance):
    def draw(self, weights, count, key):
        return [0]

    def coin(self, accept, of, key):
        raise NotImplementedError


@mutant(41, "residual_nan", "FINITE", "gpt-fast, Sequoia, vLLM 45060")
def residual_nan():
    class Wrong(TopDown):
        def rest(self, p, q, token):
            with np.errstate(all="ignore"):
                return np.maximum(p - q, 0) / np.maximum(p - q, 0).sum()

    survives_rounding(Wrong())


@mutant(42, "weight_cancellation", "LP, COVER", "vLLM's block kernel")
def weight_cancellation():
    """Residual mass 7e-8 beside a weight of 1: single precision makes .587 of what must be 1."""
    mass, w = np.float32(7e-8), np.float32(1)
    wrong = mass / (mass + np.float32(1) - w)
    right = traversal._rest(1, np.ones(1, dtype=np.float32), np.array([mass]))[0]
    assert right == 1
    return float(abs(wrong - 1))


@mutant(43, "accept_row_plus1", "ENUM", "TRT-LLM before 15098, HF 28166")
def accept_row_plus1():
    class Wrong(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return dice.accept(probs(child)[token], q[token], child)

    return distance(Wrong(), CHAIN)


@mutant(44, "residual_row_plus1", "ENUM", "openvino.genai 4190")
def residual_row_plus1():
    class Wrong(Residual):
        def last(self, p, node, dice, probs, tree, tried):
            row = probs(min(node + 1, len(tree) - 1))
            over = np.maximum(row - self.q, 0) if tried else row
            return dice.residual(over if over.sum() else row, node)

    return distance(Wrong(), CHAIN)


@mutant(45, "residual_q_row0", "ENUM")
def residual_q_row0():
    class Wrong(Residual):
        def last(self, p, node, dice, probs, tree, tried):
            over = np.maximum(probs(node) - tree.proposal(1), 0) if tried else probs(node)
            return dice.residual(over if over.sum() else probs(node), node)

    return distance(Wrong(), CHAIN)


@mutant(46, "bonus_row_minus1", "ENUM")
def bonus_row_minus1():
    class Wrong(TopDown):
        def last(self, p, node, dice, probs, tree, tried):
            return dice.residual(p if tried or node == 0 else probs(tree.parents[node]), node)

    return distance(Wrong(), CHAIN)


@mutant(47, "inplace_target", "SHAPE", "vllm-ascend 2881")
def inplace_target():
    class Wrong(TopDown):
        def rest(self, p, q, token):
            p -= p * 0 + p[token] / 2
            return p

    leaves_inputs(Wrong())


def leaves_inputs(rule) -> None:
    """A second look at the target finds what the first one found."""
    instance = Instance.random(3, 1)
    row = instance.p(())
    tree = instance.grow(PLACED, Dice(Exhaustive(), 0, 0))
    rule.walk(tree, lambda node: row, Dice(Exhaustive([1, 1, 1, 1]), 0, 0))
    assert (row == instance.p(())).all(), "the target's probabilities were written to"


@mutant(49, "bonus_dropped", "LP", "lattice 509, Petals")
def bonus_dropped():
    """The probabilities stay right: only the count of tokens tells."""

    class Wrong(Match):
        def walk(self, tree, probs, dice):
            walk = super().walk(tree, probs, dice)
            if not walk.path or tree.children[walk.path[-1]]:
                return walk
            return Walk(walk.path[:-1], tree.tokens[walk.path[-1]])

    instance = Instance.random(3, 1)
    trees = all_trees(instance, lambda of, dice: of.grow(PLACED, dice))
    right, wrong = (output(rule, instance, trees) for rule in (Match(), Wrong()))
    assert wrong.error(instance.p) == 0
    return right.expected_tokens - wrong.expected_tokens


@mutant(50, "bonus_raw_softmax", "ENUM", "Spec-Bench, EAGLE v1")
def bonus_raw_softmax():
    class Wrong(TopDown):
        def last(self, p, node, dice, probs, tree, tried):
            return dice.residual(p if tried else p * p, node)

    return distance(Wrong(), CHAIN)


@mutant(51, "pad_token_zero", "PERM, ENUM", "MoA, Medusa, Hydra, REST")
def pad_token_zero():
    """A path that ends early is filled with id 0; the target says 0, and the filling's row, nobody's, is read on."""

    class Wrong(TopDown):
        def last(self, p, node, dice, probs, tree, tried):
            self.token = super().last(p, node, dice, probs, tree, tried)
            return self.token

    def padded(instance, tree, chance):
        tokens = decide(Wrong(), instance, tree, chance)
        return (*tokens, int(instance.p(()).argmax())) if tokens[-1] == 0 else tokens

    instance = Instance.random(3, 1)
    trees = all_trees(instance, lambda of, dice: of.grow(TREE, dice))
    return _output(instance, trees, padded).distance(instance.p)


@mutant(52, "zero_is_none", "PERM, ENUM", "feifeibear, DSSD; vLLM 38174")
def zero_is_none():
    class Wrong(TopDown):
        def last(self, p, node, dice, probs, tree, tried):
            return super().last(p, node, dice, probs, tree, tried) or int(p.argmax())

    return distance(Wrong(), CHAIN)


@mutant(54, "emit_overflow", "SHAPE", "FlashInfer 879")
def emit_overflow():
    """Where nothing is left over, the search runs past the last id."""

    class Wrong(TopDown):
        def rest(self, p, q, token):
            return np.maximum(p - q, 0)

        def last(self, p, node, dice, probs, tree, tried):
            return super().last(p, node, dice, probs, tree, tried) if p.sum() > 0 else len(p)

    survives_rounding(Wrong())


def _output(instance, trees, decide):
    return Output.of(
        (likely * weight, tokens)
        for likely, tree in trees
        for weight, tokens in enumerate_outcomes(lambda chance, tree=tree: decide(instance, tree, chance))
    )


def shipped_survive() -> None:
    """What the mutants break holds of the rules that ship."""
    for rule in (Match(), Rejection(), Traversal()):
        survives_rounding(rule)
        leaves_inputs(rule)
