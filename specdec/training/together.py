"""Several heads that learn side by side from one pass of the target, each as it would alone."""

from collections.abc import Mapping, Sequence

from attrs import evolve
from jaxtyping import Float
from torch import Tensor, nn

from specdec.errors import OptionError
from specdec.features import Features, Needs
from specdec.training.dataset import Examples
from specdec.training.method import Progress, TrainingMethod
from specdec.training.teacher import TeacherBatch


class Together(nn.Module):
    """Methods by the names of their heads. The target computes what any of them needs; none sees more than its own."""

    def __init__(self, methods: Mapping[str, TrainingMethod]) -> None:
        """Put methods together.

        Raises:
            OptionError: there is none.
        """
        super().__init__()
        if not methods:
            raise OptionError("expected at least one method to train, got none")
        self.methods = dict(sorted(methods.items()))
        needs = [method.needs for method in self.methods.values()]
        self.needs = Needs(
            sorted({state for each in needs for state in each.hidden_states}),
            sorted({layer for each in needs for layer in each.keys_values}),
        )
        self._parts = nn.ModuleList(self.methods.values())

    def prepare(self, examples: Examples) -> None:
        """Let each method look at all texts."""
        for method in self.methods.values():
            method.prepare(examples)

    def forward(self, batch: TeacherBatch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Compute `loss`, the sum of all, and each method's own loss and parts by `NAME/PART`."""
        losses = {
            f"{name}/{part}": value
            for name, method in self.methods.items()
            for part, value in method(self._own(batch, method.needs), progress).items()
        }
        return {"loss": sum(losses[f"{name}/loss"] for name in self.methods), **losses}

    def save(self, path: str) -> None:
        """Write each head to a folder of its name."""
        for name, method in self.methods.items():
            method.save(f"{path}/{name}")

    def _own(self, batch: TeacherBatch, needs: Needs) -> TeacherBatch:
        features, everything = batch.features, self.needs
        hidden = _taken(features.hidden, everything.hidden_states, needs.hidden_states)
        keys, values = (
            _taken(part, everything.keys_values, needs.keys_values) for part in (features.keys, features.values)
        )
        return evolve(batch, features=Features(hidden, keys, values))


def by_name(method: TrainingMethod | Together) -> Mapping[str, TrainingMethod]:
    """List methods by the names of their heads; one alone has none."""
    return method.methods if isinstance(method, Together) else {"": method}


def shorten(method: TrainingMethod | Together) -> None:
    """Have each method optimised by `Recipe.short`."""
    for each in by_name(method).values():
        each.recipe = each.recipe.short()


def _taken(
    features: Float[Tensor, "B T L ..."] | None, everything: Sequence[int], own: Sequence[int]
) -> Float[Tensor, "B T N ..."] | None:
    """Take a method's own layers, in its order."""
    if features is None or not own:
        return None
    return features if everything == own else features[:, :, [everything.index(layer) for layer in own]]
