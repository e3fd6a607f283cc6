"""The tree for a link: the more a round trip costs, the deeper."""

from collections.abc import Sequence

from attrs import frozen

from specdec.bench.run import Task
from specdec.bench.split.delivery import ServerSteps
from specdec.bench.split.link import Link
from specdec.bench.split.pace import Times
from specdec.interfaces import Drafter
from specdec.plugins import load_policy
from specdec.target import Target

SHAPES = tuple(f"dynamic:depth={depth},width=8,size=62,sharpness=3" for depth in (2, 4, 7, 10))


@frozen
class Shape:
    """A policy, and what a step with it was on other prompts: levels that were drafted, tokens that were decided."""

    policy: str
    levels: float
    tokens: float

    def seconds(self, link: Link | None, times: Times) -> float:
        """Say how long a token takes: a step's levels, the pass, and the way there and back if there is a link."""
        trip = 0.0 if link is None else link.round_trip
        return (self.levels * times.level + times.target_pass + trip) / self.tokens


def try_shapes(target: Target, drafter: Drafter, tasks: Sequence[Task], most: int) -> list[Shape]:
    """Count levels and tokens of each shape beside the target."""
    shapes = list[Shape]()
    for policy in SHAPES:
        texts = [ServerSteps.of(target, drafter, load_policy(policy), task, most) for task in tasks]
        count = sum(len(text.levels) for text in texts)
        levels = sum(sum(text.levels) for text in texts)
        tokens = sum(len(step) for text in texts for step in text.tokens)
        shapes.append(Shape(policy, levels / count, tokens / count))
    return shapes


def choose(shapes: Sequence[Shape], link: Link | None, times: Times) -> str:
    """Choose the shape by which a token takes least; without a link it is for a drafter beside the target."""
    return min(shapes, key=lambda shape: shape.seconds(link, times)).policy
