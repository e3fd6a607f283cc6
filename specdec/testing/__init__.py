"""What plugin authors test with: checks that take a factory, and the tools by which specdec itself is proved.

The checks raise AssertionError and need no test framework. Some need more than specdec itself does:
`check_verifier` and `specdec.testing.strategies` need hypothesis, `specdec.testing.optimum` needs scipy.
"""

from specdec.testing.check_drafter import check_drafter
from specdec.testing.check_policy import check_policy
from specdec.testing.check_rule import check_rule
from specdec.testing.check_split import check_split
from specdec.testing.check_transport import check_transport
from specdec.testing.check_verifier import check_verifier
from specdec.testing.exhaustive import Exhaustive, enumerate_outcomes
from specdec.testing.faults import FaultProxy
from specdec.testing.keys import KeyAudit
from specdec.testing.pretend import PretendedGPU, pretended_gpu
from specdec.testing.toys import toy_model

__all__ = [
    "Exhaustive",
    "FaultProxy",
    "KeyAudit",
    "PretendedGPU",
    "check_drafter",
    "check_policy",
    "check_rule",
    "check_split",
    "check_transport",
    "check_verifier",
    "enumerate_outcomes",
    "pretended_gpu",
    "toy_model",
]
