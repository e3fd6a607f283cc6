"""The rules once more, in parts that a mutant can get wrong; with no part changed they are exact."""

from fractions import Fraction

import numpy as np

from specdec.interfaces import Rule, Walk
from specdec.rules.arithmetic import left_over, normalised
from specdec.testing.emitted import Emitted, emitted, grown
from specdec.testing.instances import Instance
from specdec.testing.shapes import Shape

CHAIN = Shape((0, 1), (True, True))
PAIR = Shape((0, 0), (True, True))
TREE = Shape((0, 0, 1), (True, True, True))
PLACED = Shape((0, 0, 1), (False, False, False))


class TopDown(Rule):
    """Recursive rejection."""

    def walk(self, tree, row, law, dice):
        children, path, node = tree.children(row), [], 0
        while True:
            p = self.row(law, node, tree)
            for child in children[node]:
                token, q = int(tree.tokens[row, child]), tree.proposal(row, child)
                if self.accepts(p, q, token, child, dice, law):
                    break
                p = self.rest(p, q, token)
            else:
                return Walk(path, self.last(p, node, dice, law, tree, bool(children[node])))
            node = child
            path.append(node)

    def row(self, law, node, tree):
        return law(node)

    def accepts(self, p, q, token, child, dice, law):
        return dice.accept(p[token], 1 if q is None else q[token], child)

    def rest(self, p, q, token):
        return normalised(left_over(p, q, token), otherwise=p)

    def last(self, p, node, dice, law, tree, tried):
        return dice.residual(p, node)


class LeavesFirst(Rule):
    """Traversal."""

    def walk(self, tree, row, law, dice):
        self.tree, self.of, self.law, self.dice, self.children = tree, row, law, dice, tree.children(row)
        return self.visit(0, 1) or Walk([], dice.residual(law(0), 0))

    def visit(self, node, w):
        p = self.law(node)
        for child in self.children[node]:
            token, q = int(self.tree.tokens[self.of, child]), self.tree.proposal(self.of, child)
            said = self.visit(child, self.weight(w, p[token], 1 if q is None else q[token]))
            if said is not None:
                return Walk([node, *said.path] if node else said.path, said.token)
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

    def walk(self, tree, row, law, dice):
        size = int(tree.nodes[row].sum())
        p, q = [law(node) for node in range(size)], [tree.proposal(row, node) for node in range(1, size)]
        x, w = tree.tokens[row].tolist(), [Fraction(1)]
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


def laws(shape, rule, *, seeds=range(6), vocab=3):
    """Give a rule's exact law on trees of a shape, for several instances."""
    for seed in seeds:
        instance = Instance.random(vocab, seed)
        trees = grown(instance, lambda of, dice: of.grow(shape, dice))
        yield instance, emitted(rule, instance, trees)


def distance(rule, *shapes, seeds=range(6)) -> Fraction:
    """Give the largest total variation between what a rule says and the target's law."""
    found = [law.distance(instance.p) for shape in shapes for instance, law in laws(shape, rule, seeds=seeds)]
    return max(found)


def distance_of(rule, grow, *, seeds=range(6), vocab=3) -> Fraction:
    """Do the same on trees that are grown in a way of their own."""
    found = []
    for seed in seeds:
        instance = Instance.random(vocab, seed)
        law: Emitted = emitted(rule, instance, grown(instance, grow))
        found.append(law.distance(instance.p))
    return max(found)
