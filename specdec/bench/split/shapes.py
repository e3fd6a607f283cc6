"""The choice of trees for a link: the longer its round trip, the deeper."""

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
    """A policy, with its mean levels and decided tokens per step on tuning prompts."""

    policy: str
    levels: float
    tokens: float

    def seconds(self, link: Link | None, times: Times) -> float:
        """Seconds per token: a step's levels, its pass, and a round trip if there is a link."""
        trip = 0.0 if link is None else link.round_trip
        return (self.levels * times.level + times.target_pass + trip) / self.tokens


def try_shapes(target: Target, drafter: Drafter, tasks: Sequence[Task], most: int) -> list[Shape]:
    """Measure levels and tokens per step of each shape."""
    shapes = list[Shape]()
    for policy in SHAPES:
        texts = [ServerSteps.of(target, drafter, load_policy(policy), task, most) for task in tasks]
        count = sum(len(text.levels) for text in texts)
        levels = sum(sum(text.levels) for text in texts)
        tokens = sum(len(step) for text in texts for step in text.tokens)
        shapes.append(Shape(policy, levels / count, tokens / count))
    return shapes


def choose(shapes: Sequence[Shape], link: Link | None, times: Times) -> str:
    """Choose the shape with the fewest seconds per token; without a link, for a drafter beside the target."""
    return min(shapes, key=lambda shape: shape.seconds(link, times)).policy
