"""What drafters say may be of other tokens than the target's, or still part of a computation: drafts come of it."""

import torch

from specdec import Context, Decoder, Drafter, Sampling, Stop, Target, Tree, TreePolicy, grow, load_rule
from specdec.drafters.datastore import Datastore
from specdec.drafters.retrieval import Retrieval
from specdec.policies import Static
from tests.toys import VOCAB, tiny


def test_scores_of_tokens_that_the_target_does_not_have_are_left_out() -> None:
    """A drafter's output layer may be padded, and a datastore may be of another model."""

    class Padded(Drafter):
        def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
            return grow(context, policy, lambda frontier: torch.arange(VOCAB + 8.0).expand(*frontier.tokens.shape, -1))

    other = Retrieval(Datastore.of([[token, strange] for token in range(VOCAB) for strange in (VOCAB + 3, VOCAB + 4)]))
    for rule, sampled in (("match", False), ("rejection", True)):
        target, policy = Target(tiny(), rule=load_rule(rule)), Static((3, 1), sampled=sampled)
        for drafter in (Padded(), other):
            decoder = Decoder(drafter, target, policy)
            assert len(decoder.generate([1, 2, 3], Sampling(1.0), Stop(6, tokens=())).tokens[0]) == 6


def test_scores_may_come_from_a_layer_that_is_trained() -> None:
    class Learning(Drafter):
        def __init__(self) -> None:
            self.layer = torch.nn.Embedding(VOCAB, VOCAB)

        def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
            return grow(context, policy, lambda frontier: self.layer(frontier.tokens))

    for policy in (Static((2, 2)), Static((9,)), Static((3,), sampled=True)):
        decoder = Decoder(Learning(), Target(tiny()), policy)
        assert len(decoder.generate([1, 2, 3], Sampling(1.0), Stop(6, tokens=())).tokens[0]) == 6
