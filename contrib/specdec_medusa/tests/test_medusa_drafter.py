"""Whatever the heads say, the text is the target's; and each speaks of its own place."""

import pytest
import torch
from attrs import evolve
from specdec_medusa import MedusaDrafter, MedusaMethod
from torch import Tensor

from specdec import Context, Decoder, Sampling, Stop, Target, Tree, TreePolicy
from specdec.policies import Chain, Static
from specdec.testing import check_drafter, toy_model

PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5, 3, 5, 8, 9, 7]]


def test_the_text_is_left_to_the_target(untaught: MedusaMethod) -> None:
    check_drafter(lambda target: untaught.drafter())


class Recorder(MedusaDrafter):
    """Keeps what it was told, and what it proposed."""

    seen: list[tuple[Context, list[Tree | None]]]
    deaf_from = 10**6

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        if len(self.seen) >= self.deaf_from:
            context = evolve(context, step=evolve(context.step, features=()))
        trees = super().propose(context, policy)
        self.seen.append((context, trees))
        return trees


def record(
    untaught: MedusaMethod, policy: TreePolicy, deaf_from: int = 10**6
) -> list[tuple[Context, list[Tree | None]]]:
    drafter = untaught.drafter()
    drafter.__class__ = Recorder
    drafter.seen, drafter.deaf_from = [], deaf_from
    Decoder(drafter, Target(toy_model()), policy).generate(PROMPTS, Sampling(), Stop(12, tokens=()))
    return drafter.seen


def said(untaught: MedusaMethod, tokens: list[int]) -> Tensor:
    """What each head says of the tokens after the last of these, computed by transformers in one pass."""
    model = toy_model()
    read = model(torch.tensor([tokens]), output_hidden_states=True)
    states = read.hidden_states[-1][:, -2]
    assert torch.allclose(model.lm_head(states), read.logits[:, -2])  # what predicted the last of them
    logits: Tensor = untaught.head(states, None if untaught.head.config.own_output else model.lm_head)[0]
    return logits


def test_each_level_is_what_its_head_finds_likeliest(untaught: MedusaMethod) -> None:
    widths = (3, 2, 1)
    for context, trees in record(untaught, Static(widths)):
        for sequence in context.active:
            tokens, tree = context.tokens[sequence], trees[sequence]
            if len(tokens) == 1:  # nothing has been read yet
                assert len(tree) == 1
                continue
            logits = said(untaught, tokens)
            for token, depth in zip(tree.tokens[1:], tree.depths[1:], strict=True):
                assert token in logits[depth - 1].topk(widths[depth - 1]).indices
            assert len(tree) == 1 + sum(torch.tensor(widths).cumprod(0).tolist()[: context.room[sequence]])


def test_no_deeper_than_there_are_heads(untaught: MedusaMethod) -> None:
    depths = [tree.depth for _, trees in record(untaught, Chain(6)) for tree in trees if tree is not None]
    assert max(depths) == 3


@pytest.mark.parametrize("deaf_from", [0, 1, 2])
def test_continues_from_what_it_knows(untaught: MedusaMethod, deaf_from: int) -> None:
    """Out of the target's reach, the heads that spoke of tokens decided since fall away, until none is left."""
    seen = record(untaught, Chain(3), deaf_from)
    for step, (context, trees) in enumerate(seen):
        known = list(map(len, seen[min(step, deaf_from - 1)][0].tokens)) if deaf_from else [0] * 3
        for sequence in context.active:
            tokens, length = context.tokens[sequence], known[sequence]
            drafted, late = trees[sequence].tokens[1:], len(tokens) - length
            if length < 2 or late >= 3:
                assert drafted == []
            else:
                best = said(untaught, tokens[:length]).argmax(-1).tolist()
                assert drafted == best[late : late + context.room[sequence]]


def test_forgets_the_last_batch(untaught: MedusaMethod) -> None:
    drafter, target = untaught.drafter(), Target(toy_model())
    decoder = Decoder(drafter, target, Chain(3))
    alone = [decoder.generate([prompt], stop=Stop(8, tokens=())).metrics.steps for prompt in PROMPTS]
    decoder.generate(PROMPTS, stop=Stop(8, tokens=()))
    assert alone == [decoder.generate([prompt], stop=Stop(8, tokens=())).metrics.steps for prompt in PROMPTS]
