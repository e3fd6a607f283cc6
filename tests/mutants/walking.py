"""The rules once more, in parts that a mutant can get wrong; with no part changed they are exact."""

from fractions import Fraction

import numpy as np

from specdec.interfaces import Rule, Walk
from specdec.rules.arithmetic import left_over, normalised
from specdec.testing.instances import Instance
from specdec.testing.output import all_trees, output
from specdec.testing.shapes import Shape

CHAIN = Shape((0, 1), (True, True))
PAIR = Shape((0, 0), (True, True))
TREE = Shape((0, 0, 1), (True, True, True))
PLACED = Shape((0, 0, 1), (False, False, False))


class TopDown(Rule):
    """Recursive rejection."""

    def walk(self, tree, probs, dice):
        path, node = [], 0
        while True:
            p = self.row(probs, node)
            for child in tree.children[node]:
                token, q = tree.tokens[child], tree.proposal(child)
                if self.accepts(p, q, token, child, dice, probs):
                    break
                p = self.rest(p, q, token)
            else:
                return Walk(path, self.last(p, node, dice, probs, tree, bool(tree.children[node])))
            node = child
            path.append(node)

    def row(self, probs, node):
        return probs(node)

    def accepts(self, p, q, token, child, dice, probs):
        return dice.accept(p[token], 1 if q is None else q[token], child)

    def rest(self, p, q, token):
        return normalised(left_over(p, q, token), otherwise=p)

    def last(self, p, node, dice, probs, tree, tried):
        return dice.residual(p, node)


class LeavesFirst(Rule):
    """Traversal."""

    def walk(self, tree, probs, dice):
        self.tree, self.probs, self.dice = tree, probs, dice
        return self.visit(0, 1) or Walk([], dice.residual(probs(0), 0))

    def visit(self, node, w):
        p = self.probs(node)
        for child in self.tree.children[node]:
            token, q = self.tree.tokens[child], self.tree.proposal(child)
            walk = self.visit(child, self.weight(w, p[token], 1 if q is None else q[token]))
            if walk is not None:
                return Walk([node, *walk.path] if node else walk.path, walk.bonus)
            left = self.left(w, p, q, token)
            w, p = self.reject(w, left.sum()), normalised(left, otherwise=p)
        if node == 0 or self.dice.accept(w, 1, node):
            return Walk([node] if node else [], self.dice.residual(p, node))
        return None

    def weight(self, w, p, q):
        return min(Fraction(1), w * p / q) if q else 1

    def left(self, w, p, q, token):
        return left_over(w * p, q, token)

    def reject(self, w, mass):
        return mass / (mass + (1 - w)) if mass > 0 else (w if w == 1 else 0)


class Block(Rule):
    """Block verification as it is written down for a chain (arXiv 2403.10444)."""

    def walk(self, tree, probs, dice):
        size = len(tree)
        p, q = [probs(node) for node in range(size)], [tree.proposal(node) for node in range(1, size)]
        x, w = tree.tokens, [Fraction(1)]
        for i in range(size - 1):
            w.append(self.capped(w[i] * p[i][x[i + 1]] / q[i][x[i + 1]]))
        last = 0
        for i in range(1, size):
            if dice.accept(self.chance(w[i], p[i], q[i] if i < size - 1 else None), 1, i):
                last = i
            elif self.stops:
                break
        left = p[-1] if last == size - 1 else self.residual(w[last], p[last], q[last])
        return Walk(list(range(1, last + 1)), dice.residual(normalised(left, otherwise=p[last]), last))

    stops = False

    def capped(self, w):
        return min(Fraction(1), w)

    def chance(self, w, p, q):
        if q is None:
            return w
        mass = np.maximum(w * p - q, 0).sum()
        return mass / (mass + (1 - w)) if mass + (1 - w) else 1

    def residual(self, w, p, q):
        return np.maximum(w * p - q, 0)


def outputs(shape, rule, *, seeds=range(6), vocab=3):
    """Give what a rule decides on trees of a shape, for several instances."""
    for seed in seeds:
        instance = Instance.random(vocab, seed)
        trees = all_trees(instance, lambda of, dice: of.grow(shape, dice))
        yield instance, output(rule, instance, trees)


def distance(rule, *shapes, seeds=range(6)) -> Fraction:
    """Give the largest total variation between what a rule decides and the target."""
    return max(
        decided.distance(instance.p) for shape in shapes for instance, decided in outputs(shape, rule, seeds=seeds)
    )


def distance_of(rule, grow, *, seeds=range(6), vocab=3) -> Fraction:
    """Do the same on trees that are grown in a way of their own."""
    instances = [Instance.random(vocab, seed) for seed in seeds]
    return max(output(rule, of, all_trees(of, grow)).distance(of.p) for of in instances)
