"""The likeliest children, and one drawn from the rest."""

from attrs import field, frozen

from specdec.policies.static import Static


@frozen
class Hybrid(Static):
    """Every node at depth d has `levels[d]` children: one drawn, the others the likeliest, which cannot be drawn.

    The drawn child is tested first. With `rejection` nothing better can be done at a node with such children (the
    greedy construction of Hu et al., arXiv 2502.18779; with two children, SpecHub's, arXiv 2411.05289).
    """

    sampled: bool = field(default=True, init=False)
    draws = 1
