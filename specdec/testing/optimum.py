"""The most that any lossless rule can accept of given trees: a linear programme."""

from collections import defaultdict
from typing import Any

import numpy as np

from specdec.testing.instances import Instance, Path, path_tokens
from specdec.testing.output import Forest

__all__ = ["optimum"]


def optimum(instance: Instance, trees: Forest) -> float:
    """Give the largest number of tokens that a lossless step can be expected to decide on these trees.

    A rule accepts a path through node s of tree T with some probability, `flow(T, s)`, which falls from a node to its
    children together and is 1 at the root. It can be completed to a lossless rule if and only if the mean A of the flow
    over the trees has `A(s x) <= A(s) p(x | s)`: what is over is the mass of the token after the path. So a rule
    that expects more than this optimum is not lossless. Needs scipy.
    """
    from scipy.optimize import linprog

    programme = _Programme(instance, trees)
    if not programme.place:
        return 1.0
    rows, bounds = programme.constraints()
    solved = linprog(-programme.gain, A_ub=rows, b_ub=bounds, bounds=(0, 1), method="highs")
    if not solved.success:
        raise RuntimeError(f"the linear programme was not solved: {solved.message}")
    return 1 - float(solved.fun)


class _Programme:
    """One unknown per tree and path in it but the root's, whose flow is known to be 1."""

    def __init__(self, instance: Instance, trees: Forest) -> None:
        self.instance = instance
        likely: dict[frozenset[Path], float] = defaultdict(float)
        for weight, tree in trees:
            likely[frozenset(path_tokens(tree, node) for node in range(1, len(tree)))] += float(weight)
        self.trees = list(likely.items())
        unknowns = [(index, path) for index, (paths, _) in enumerate(self.trees) for path in sorted(paths)]
        self.place = {unknown: column for column, unknown in enumerate(unknowns)}
        self.gain = np.array([self.trees[index][1] for index, _ in self.place])

    def constraints(self) -> tuple[Any, list[float]]:
        from scipy.sparse import csr_array

        rows: list[dict[int, float]] = []
        bounds: list[float] = []
        for row, bound in (*self._flows(), *self._shares()):
            rows.append(row)
            bounds.append(bound)
        entries = [(value, place, column) for place, row in enumerate(rows) for column, value in row.items()]
        values, places, columns = zip(*entries, strict=True)
        return csr_array((values, (places, columns)), shape=(len(rows), len(self.place))), bounds

    def _flows(self) -> list[tuple[dict[int, float], float]]:
        """The children's flows together are at most their parent's."""
        below: dict[tuple[int, Path], dict[int, float]] = defaultdict(dict)
        for (index, path), column in self.place.items():
            below[index, path[:-1]][column] = 1.0
        for (index, path), row in below.items():
            if path:
                row[self.place[index, path]] = -1.0
        return [(row, 0.0 if path else 1.0) for (_, path), row in below.items()]

    def _shares(self) -> list[tuple[dict[int, float], float]]:
        """The mean flow into a child is at most the target's share of that into its parent."""
        rows: dict[Path, dict[int, float]] = defaultdict(dict)
        for (index, path), column in self.place.items():
            rows[path][column] = self.trees[index][1]
        constraints = []
        for path, row in rows.items():
            p = float(self.instance.p(path[:-1])[path[-1]])
            above = {} if len(path) == 1 else {column: -p * mean for column, mean in rows[path[:-1]].items()}
            constraints.append(({**row, **above}, p if len(path) == 1 else 0.0))
        return constraints
