"""14 to 35: a child is accepted by the wrong chance, or a rejected one leaves the wrong probabilities."""

import numpy as np

from specdec.interfaces import Walk
from specdec.rules import Lenient, Typical
from specdec.testing.instances import Instance
from specdec.testing.optimum import optimum
from specdec.testing.output import all_trees, output
from tests.mutants.coins import Coin, never_impossible, surely_certain
from tests.mutants.drafts import independent, of_root, with_draft
from tests.mutants.mutant import mutant
from tests.mutants.walking import CHAIN, PLACED, TREE, Block, LeavesFirst, TopDown, distance, distance_of


@mutant(14, "accept_always", "ENUM, LP", "HF 28508")
def accept_always():
    class Wrong(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return True

    return distance(Wrong(), TREE)


@mutant(15, "accept_p_only", "ENUM")
def accept_p_only():
    class Wrong(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return dice.accept(p[token], 1, child)

    return distance(Wrong(), TREE)


@mutant(16, "accept_swapped", "ENUM")
def accept_swapped():
    class Wrong(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return dice.accept(q[token], p[token], child)

    return distance(Wrong(), TREE)


@mutant(17, "accept_or_same", "ENUM", "rtp-llm 1295")
def accept_or_same():
    class Wrong(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return token == int(p.argmax()) or dice.accept(p[token], q[token], child)

    return distance(Wrong(), TREE)


@mutant(18, "accept_le_zero_coin", "COVER, FINITE", "EAGLE, HF, SGLang, TRT-LLM v2")
def accept_le_zero_coin():
    never_impossible(Coin(lambda u, p, q: u * q <= p, lowest=0.0))


@mutant(19, "accept_lt_unit_coin", "COVER", "FlashInfer")
def accept_lt_unit_coin():
    surely_certain(Coin(lambda u, p, q: u * q < p, highest=1.0))


@mutant(20, "rrs_no_update", "ENUM", "TRT-LLM PR 12588")
def rrs_no_update():
    class Wrong(TopDown):
        def rest(self, p, q, token):
            self.used = q
            return p

        def last(self, p, node, dice, probs, tree, tried):
            over = np.maximum(p - self.used, 0) if tried else p
            return dice.residual(over if over.sum() else p, node)

    return distance(Wrong(), TREE)


@mutant(21, "rrs_unscaled", "ENUM")
def rrs_unscaled():
    class Wrong(TopDown):
        def rest(self, p, q, token):
            over = np.maximum(p - q, 0)
            return over if over.sum() else p

    return distance(Wrong(), TREE)


@mutant(22, "delta_no_renorm", "ENUM")
def delta_no_renorm():
    class Wrong(TopDown):
        def rest(self, p, q, token):
            left = p.copy()
            left[token] = 0
            return left if left.sum() else p

    return distance(Wrong(), PLACED)


@mutant(23, "cum_coin_duplicates", "ENUM", "SGLang's rule on IID trees")
def cum_coin_duplicates():
    """One coin over the children's probabilities, counted twice where a token is there twice."""

    class Wrong(TopDown):
        def walk(self, tree, probs, dice):
            p, tokens = probs(0), tree.tokens[1:]
            shares = [p[token] for token in tokens]
            left = 1 - sum(shares)
            chosen = dice.residual(np.array([*shares, max(left, 0)], dtype=object), 0)
            if chosen < len(tokens):
                return Walk([chosen + 1], dice.residual(probs(chosen + 1), chosen + 1))
            p[tokens] = 0
            return Walk([], dice.residual(p if p.sum() else probs(0), 9))

    return distance_of(Wrong(), lambda of, dice: of_root(independent(of, dice, 2)))


@mutant(24, "block_token_rule", "ENUM, LP", "vllm-ascend 7807, 7808")
def block_token_rule():
    class Wrong(Block):
        def chance(self, w, p, q):
            return w

        def residual(self, w, p, q):
            return np.maximum(p - q, 0)

    return distance(Wrong(), CHAIN)


@mutant(25, "block_token_residual", "ENUM")
def block_token_residual():
    class Wrong(Block):
        def residual(self, w, p, q):
            return np.maximum(p - q, 0)

    return distance(Wrong(), CHAIN)


@mutant(26, "block_first_failure", "ENUM")
def block_first_failure():
    class Wrong(Block):
        stops = True

    return distance(Wrong(), CHAIN)


@mutant(27, "block_uncapped", "ENUM, LP", "HSD")
def block_uncapped():
    class Wrong(Block):
        def capped(self, w):
            return w

    return distance(Wrong(), CHAIN)


@mutant(27, "hsd_beats_the_optimum", "LP", "HSD")
def hsd_beats_the_optimum():
    """HSD's last acceptance: more tokens than any lossless rule can have, on the example of its own refutation."""

    class Wrong(Block):
        def capped(self, w):
            return w

    instance = Instance(2, lambda path: (1, 2), lambda path: (2, 1), lambda *_: 0)
    trees = all_trees(instance, lambda of, dice: of.grow(CHAIN, dice))
    return max(float(output(Wrong(), instance, trees).expected_tokens) - optimum(instance, trees), 0)


@mutant(28, "trav_child_weight", "ENUM")
def trav_child_weight():
    class Wrong(LeavesFirst):
        def weight(self, w, p, q):
            return super().weight(1, p, q)

    return distance(Wrong(), TREE)


@mutant(29, "trav_residual_no_w", "ENUM")
def trav_residual_no_w():
    class Wrong(LeavesFirst):
        def left(self, w, p, q, token):
            return super().left(1, p, q, token)

    return distance(Wrong(), TREE)


@mutant(30, "trav_w_stale", "ENUM")
def trav_w_stale():
    class Wrong(LeavesFirst):
        def reject(self, w, mass):
            return w

    return distance(Wrong(), TREE)


@mutant(30, "trav_w_is_the_mass", "ENUM")
def trav_w_is_the_mass():
    class Wrong(LeavesFirst):
        def reject(self, w, mass):
            return mass

    return distance(Wrong(), TREE)


class KSeq(TopDown):
    """SpecTr's rule for two independent draws (arXiv 2310.15141), in floats: rho is the root of a quadratic."""

    def walk(self, tree, probs, dice):
        p, q = probs(0).astype(float), self.q
        low, high = 1.0, 2.0
        for _ in range(200):
            middle = (low + high) / 2
            beta = np.minimum(p / middle, q).sum()
            low, high = (middle, high) if 1 - (1 - beta) ** 2 > middle * beta else (low, middle)
        beta = np.minimum(p / high, q).sum()
        for child in (1, 2):
            token = tree.tokens[child]
            if dice.accept(p[token], high * q[token], child):
                return Walk([child], dice.residual(probs(child), child))
        return Walk([], dice.residual(self.over(p, q, high, beta), 0))

    def over(self, p, q, rho, beta):
        return np.maximum(p - np.minimum(p / rho, q) * (1 - (1 - beta) ** 2) / beta, 0)


def kseq_distance(rule) -> float:
    """Give the largest distance over drafters that can say anything."""
    distances = []
    for seed in range(6):
        instance = with_draft(Instance.random(3, seed), lambda row: tuple(x + 1 for x in row))
        rule.q = instance.q(()).astype(float)
        trees = all_trees(instance, lambda of, dice: of_root(independent(of, dice, 2)))
        distances.append(float(output(rule, instance, trees).distance(instance.p)))
    return max(distances)


@mutant(31, "kseq_token_residual", "ENUM")
def kseq_token_residual():
    class Wrong(KSeq):
        def over(self, p, q, rho, beta):
            return np.maximum(p - q, 0)

    return kseq_distance(Wrong())


@mutant(32, "fresh_draw_after_miss", "ENUM", "Medusa (nucleus)")
def fresh_draw_after_miss():
    """Each child is compared with a draw of its own."""

    class Wrong(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return dice.accept(p[token], 1, child)

        def rest(self, p, q, token):
            return p

    return distance(Wrong(), PLACED)


@mutant(33, "argmax_at_T", "PATH, ENUM", "MoA, Medusa, UMbreLLa, mistral.rs, vLLM, SGLang on AMD")
def argmax_at_t():
    class Wrong(TopDown):
        def accepts(self, p, q, token, child, dice, probs):
            return token == int(p.argmax())

        def rest(self, p, q, token):
            return p

    return distance(Wrong(), PLACED)


@mutant(34, "temperature_ignored", "PATH, ENUM", "SGLang 39253 (HIP)")
def temperature_ignored():
    class Wrong(TopDown):
        def row(self, probs, node):
            return probs(node) ** 2 / (probs(node) ** 2).sum()

    return distance(Wrong(), TREE)


@mutant(35, "lossy_as_exact: typical", "ENUM", "by option in Medusa")
def typical():
    return distance(Typical(), PLACED)


@mutant(35, "lossy_as_exact: lenient", "ENUM", "by option in SGLang, TRT-LLM")
def lenient():
    return float(distance(Lenient(), TREE))


def unmutated_kseq() -> float:
    return kseq_distance(KSeq())
