"""55 to 62: random numbers that serve twice, or that something else decides on."""

from collections.abc import Callable
from math import ceil
from unittest.mock import patch

import numpy as np

from specdec import Decoder, Sampling, Target, chance
from specdec.chance import Chance, Dice, Key, Keyed, Purpose
from specdec.interfaces import Rule, Walk
from specdec.policies import Static
from specdec.rules import Match, Rejection
from specdec.testing.exhaustive import enumerate_outcomes
from specdec.testing.instances import Instance, path_tokens
from specdec.testing.keys import KeyAudit
from specdec.testing.output import Output
from specdec.testing.shapes import Shape
from tests.mutants.coins import KEY, Coin, never_impossible, surely_certain
from tests.mutants.engine import differs, drafter, model
from tests.mutants.mutant import mutant

SAME = Instance(2, lambda path: (1, 2), lambda path: (2, 1), lambda *_: 0)
ONE = Shape((0,), (True,))


class Renamed(Chance):
    """Changes every key on its way."""

    def __init__(self, chance: Chance, change: Callable[[Key], Key]) -> None:
        self.chance, self.change = chance, change

    def draw(self, weights, count, key):
        return self.chance.draw(weights, count, self.change(key))

    def coin(self, accept, of, key):
        return self.chance.coin(accept, of, self.change(key))


def decode(chance: Chance, between=lambda: None, length: int = 3) -> tuple[int, ...]:
    """Decode so many tokens in steps of a drawn node each, with probabilities that never change."""
    tokens: tuple[int, ...] = ()
    while len(tokens) < length:
        dice = Dice(chance, 0, len(tokens))
        tree = SAME.grow(ONE, dice)
        walk = Rejection().walk(tree, SAME.probs(tree), dice)
        tokens += (*path_tokens(tree, walk.path[-1] if walk.path else 0), walk.bonus)
        between()
    return tokens[:length]


def joint(change: Callable[[Key], Key]):
    """Give the distance of several steps together."""
    outcomes = enumerate_outcomes(lambda chance: decode(Renamed(chance, change)))
    return Output.of(outcomes).distance(SAME.p)


def audited(change: Callable[[Key], Key]) -> None:
    """Watch the keys of many decodings."""
    for seed in range(40):
        audit = KeyAudit()
        decode(Renamed(audit, lambda key, seed=seed: change(key._replace(seed=seed))), audit.next_step)


@mutant(55, "noise_across_steps", "JOINT, STREAM", "Sequoia")
def noise_across_steps():
    return joint(lambda key: key._replace(position=0))


@mutant(56, "noise_across_roles", "STREAM", "vLLM 47386, 54282")
def noise_across_roles():
    audited(lambda key: key._replace(purpose=Purpose.DRAFT, node=0))


@mutant(57, "coin_reused_final", "STREAM", "SGLang 7207, 7231")
def coin_reused_final():
    audited(lambda key: Key(key.seed, key.position, Purpose.ACCEPT, 1) if key.purpose is Purpose.RESIDUAL else key)


@mutant(58, "reseed_in_loop", "JOINT, STREAM", "feifeibear, vllm-metal 50")
def reseed_in_loop():
    return joint(lambda key: key._replace(position=0, node=0))


@mutant(59, "kernel_uniform_race (as shared coins)", "STREAM", "FlashInfer 424, 425")
def uniforms_shared():
    """The race needs a GPU; what comes of it, siblings that share a coin, does not."""
    shape = Shape((0, 0), (True, True))
    for seed in range(40):
        instance, audit = Instance.random(3, seed, exact=False), KeyAudit()
        chance = Renamed(audit, lambda key: key._replace(node=0) if key.purpose is Purpose.ACCEPT else key)
        dice = Dice(chance, 0, 0)
        tree = instance.grow(shape, dice)
        Rejection().walk(tree, instance.probs(tree), dice)


@mutant(60, "fp16_coins", "COVER, STAT", "Sequoia")
def fp16_coins():
    """On a grid of 2**-11 a coin of probability 1e-5 comes up fifty times too often."""
    return ceil(1e-5 * 2048) / 2048 - 1e-5


@mutant(61, "stateful_rng", "PATH, PERM", "EAGLE; vLLM 6034, 6038, 17498")
def stateful_rng():
    class Stepped(Keyed):
        def __init__(self):
            self.generator = np.random.default_rng(0)

        def draw(self, weights, count, key):
            return [int(self.generator.choice(len(weights), p=weights.astype(float) / weights.sum(dtype=float)))]

        def noise(self, key, size):
            return self.generator.gumbel(size=size).astype(np.float32)

    def run(prompts):
        target = Target(model(), chance=Stepped())
        options = [Sampling(temperature=1.0, seed=seed) for seed in range(len(prompts))]
        return Decoder(drafter(), target, Static((2, 1))).generate(prompts, options, stop).tokens

    from specdec import Stop

    stop = Stop(8, tokens=())
    assert run([[5, 6], [7, 8, 9]])[0] == run([[5, 6]])[0], "a sequence's text depends on its neighbours"


@mutant(62, "tape_keyed_by_node", "PATH")
def tape_keyed_by_node():
    """The noise of a token hangs on the node that it is said after, so on the tree."""

    class Wrong(Match):
        decide = Rule.decide

        def walk(self, tree, probs, dice):
            path, node = [], 0
            while True:
                token = dice.chance.pick(probs(node), Key(dice.seed, dice.root + 1, Purpose.TARGET, node))
                node = next((child for child in tree.children[node] if tree.tokens[child] == token), 0)
                if node == 0:
                    return Walk(path, token)
                path.append(node)

    differs(rule=Wrong())


def shipped_survive() -> None:
    """What the mutants break holds of what ships."""
    assert joint(lambda key: key) == 0
    audited(lambda key: key)
    shipped = Coin(lambda u, p, q: u * q < p)
    never_impossible(shipped)
    surely_certain(shipped)
    for word in (0, 2**64 - 1):
        with patch.object(chance, "_words", lambda key, count, word=word: np.full(count, word, dtype=np.uint64)):
            assert not Keyed().coin(0.0, 0.3, KEY)
            assert Keyed().coin(0.3, 0.3, KEY)
            weights = np.array([0, 1e-45, 1.0, 0, 1e-45], dtype=np.float32)
            assert set(Keyed().draw(weights, 5, KEY)) == {1, 2, 4}
