"""The grid of drafters, policies, samplings and architectures over which texts must be equal."""

from collections.abc import Callable

from transformers import PreTrainedModel

from specdec import Drafter, Sampling, TreePolicy
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.policies import Adaptive, Chain, Dynamic, Sequoia, Static
from tests.toys import END, Constant, Restless, Sometimes, Twins, Uniform, Wrong, perturbed, tiny

COUNT = 12
RESTLESS = Restless()

SAMPLINGS = {
    "greedy": Sampling(),
    "greedy, penalised and restless": Sampling(repetition_penalty=1.3, processors=(RESTLESS,)),
    "cool, top-p": Sampling(0.5, top_p=0.9, seed=3),
    "warm, top-k": Sampling(1.0, top_k=12, seed=2**64 - 1),
    "hot, min-p": Sampling(1.3, min_p=0.05, seed=11),
    "warm, penalised and restless": Sampling(1.0, repetition_penalty=1.3, processors=(RESTLESS,), seed=5),
    "warm": Sampling(1.0, seed=7),
    "all at once": Sampling(
        1.3, top_k=30, top_p=0.95, min_p=0.01, repetition_penalty=0.8, processors=(RESTLESS,), seed=1
    ),
}

POLICIES: dict[str, TreePolicy] = {
    "chain": Chain(5),
    "chain, drawn": Chain(3, sampled=True),
    "static": Static((3, 2, 1)),
    "static, drawn": Static((3, 2, 1), sampled=True),
    "dynamic": Dynamic(depth=4, width=3, size=8),
    "sequoia": Sequoia.fitted(size=8, depth=4),
    "sequoia, drawn": Sequoia.fitted(size=8, depth=4, sampled=True),
    "adaptive": Adaptive(size=8, depth=5, width=3),
}

DRAFTERS: dict[str, Callable[[str], Drafter]] = {
    "none": lambda kind: NoDrafter(),
    "ngram": lambda kind: Ngram(),
    "itself": lambda kind: SmallModel(tiny(kind)),
    "perturbed": lambda kind: SmallModel(perturbed(kind)),
    "twins": lambda kind: Twins(tiny(kind)),
    "sometimes": lambda kind: Sometimes(perturbed(kind)),
    "wrong": lambda kind: Wrong(tiny(kind)),
    "uniform": lambda kind: Uniform(),
    "zeros": lambda kind: Constant(0),
    "ends": lambda kind: Constant(END),
}

PAIRS = [(drafter, policy) for drafter in DRAFTERS for policy in POLICIES]


def model_of(kind: str) -> PreTrainedModel:
    return tiny(kind)
