"""1 to 13: what a tree says of its nodes is not how they were found. `Tree.draw` cannot be made to say so."""

from fractions import Fraction

import numpy as np
import torch
from attrs import evolve

from specdec.rules import Rejection
from specdec.testing.instances import Instance, path_tokens
from specdec.testing.output import all_trees, output
from specdec.testing.shapes import Shape
from specdec.tree import Tree
from tests.mutants.mutant import mutant
from tests.mutants.walking import PAIR, TREE, TopDown, distance_of

RULE = Rejection()


class IidTree(Tree):
    """Takes its nodes for independent draws."""

    def proposal(self, node):
        return self.probs[self.parents[node]]


def declared(tree, instance, kind=Tree):
    """Call every node drawn from the drafter's probabilities."""
    probs = {node: instance.q(path_tokens(tree, node)) for node in range(len(tree))}
    return kind(tree.tokens, tree.parents, tree.scores, tree.depths, probs, frozenset(range(1, len(tree))))


def with_draft(instance, change):
    """Give the same instance with another drafter."""
    return Instance(instance.vocab, instance.target, lambda path: change(instance.draft(path)), instance.placed)


def ranked(row):
    return sorted(range(len(row)), key=lambda token: -row[token])


def of_root(tokens):
    """Hang tokens under the root."""
    return Tree.root(0).place([(token, 0, 0.0) for token in tokens])


def independent(instance, dice, count):
    return [dice.draft(instance.q(()), 1, node)[0] for node in range(1, count + 1)]


@mutant(1, "law_topk_as_sampled", "TYPE, ENUM", "EAGLE-2's text suggests it; TRT-LLM PR 12588")
def topk_as_sampled():
    return distance_of(RULE, lambda of, dice: declared(of_root(ranked(of.draft(()))[:2]), of))


@mutant(2, "law_argmax_as_softmax", "ENUM", "HF 32867; jaymody 3")
def argmax_as_softmax():
    return distance_of(RULE, lambda of, dice: declared(of_root(ranked(of.draft(()))[:1]), of))


@mutant(3, "law_raw_for_processed", "ENUM", "HF 47932, 47961; DSSD")
def raw_for_processed():
    def grow(of, dice):
        cut = with_draft(of, lambda row: tuple(x if token in ranked(row)[:2] else 0 for token, x in enumerate(row)))
        return declared(cut.grow(TREE, dice), of)

    return distance_of(RULE, grow)


@mutant(4, "law_temperature", "ENUM", "DSSD")
def temperature():
    return distance_of(
        RULE, lambda of, dice: declared(with_draft(of, lambda row: tuple(x * x for x in row)).grow(TREE, dice), of)
    )


@mutant(5, "law_wor_as_iid", "TYPE, ENUM")
def wor_as_iid():
    return distance_of(RULE, lambda of, dice: declared(of.grow(PAIR, dice), of, IidTree))


@mutant(6, "law_iid_as_wor", "TYPE, ENUM")
def iid_as_wor():
    return distance_of(RULE, lambda of, dice: declared(of_root(independent(of, dice, 2)), of))


@mutant(7, "law_dedupe_as_iid", "ENUM")
def dedupe_as_iid():
    return distance_of(RULE, lambda of, dice: declared(of_root(dict.fromkeys(independent(of, dice, 3))), of, IidTree))


@mutant(8, "law_sorted_siblings", "ENUM")
def sorted_siblings():
    def grow(of, dice):
        drawn = of.grow(PAIR, dice).tokens[1:]
        return declared(of_root(sorted(drawn, key=lambda token: -of.draft(())[token])), of)

    return distance_of(RULE, grow)


@mutant(9, "law_reversed_wor", "ENUM")
def reversed_wor():
    return distance_of(RULE, lambda of, dice: declared(of_root(of.grow(PAIR, dice).tokens[:0:-1]), of))


@mutant(10, "law_rerank_prune", "TYPE, ENUM")
def rerank_prune():
    """Of three nodes the two likeliest stay, and still say that they were drawn."""

    def grow(of, dice):
        tree = of.grow(TREE, dice)
        best = {0, *sorted(range(1, len(tree)), key=lambda node: -tree.scores[node])[:2]}
        return declared(tree.select({node for node in best if {0, *tree.path(node)} <= best}), of)

    return distance_of(RULE, grow)


@mutant(11, "law_drop_by_value", "ENUM")
def drop_by_value():
    def grow(of, dice):
        tree = of.grow(Shape((0,), (True,)), dice)
        return tree if of.q(())[tree.tokens[-1]] > Fraction(35, 100) else Tree.root(0)

    return distance_of(RULE, grow)


@mutant(12, "law_bf16_draw", "ENUM", "DeepSpec 31")
def bf16_draw():
    """The distance is at most that between the two drafts, as theory says."""
    q, p = (257.0, 515.0, 1027.0), (5, 2, 9)
    exact = Instance(3, lambda path: p, lambda path: q, lambda *_: 0)
    coarse = tuple(torch.tensor(q).bfloat16().tolist())
    drawn = Instance(3, lambda path: p, lambda path: coarse, lambda *_: 0)
    trees = all_trees(exact, lambda of, dice: declared(drawn.grow(Shape((0,), (True,)), dice), exact))
    far = output(RULE, exact, trees).distance(exact.p)
    between = sum(
        abs(Fraction(a) / Fraction(sum(q)) - Fraction(b) / Fraction(sum(coarse)))
        for a, b in zip(q, coarse, strict=False)
    )
    if not far <= between / 2:
        raise RuntimeError("theory is wrong")
    return far


@mutant(13, "law_bad_q", "ENUM", "vllm-ascend 6685, 7603; vLLM 40149")
def bad_q():
    """Logits are taken for probabilities."""

    def grow(of, dice):
        tree = declared(of.grow(PAIR, dice), of)
        logits = {node: np.log(np.array(of.draft(path_tokens(tree, node))) + 0.5) for node in tree.probs}
        return evolve(tree, probs=logits)

    class Trusting(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return dice.accept(p[token], max(q[token], 0), child)

    return distance_of(Trusting(), grow)


def honest() -> Fraction:
    """The same trees with true labels; nothing is wrong with them."""

    def grow(of, dice) -> Tree:
        return declared(of_root(dict.fromkeys(independent(of, dice, 3))), of)

    return distance_of(RULE, grow)
