"""A row of the table of a link."""

from collections.abc import Sequence

from attrs import frozen

from specdec.bench.split.delivery import Delivery
from specdec.spec import Spec

STREAMING = "streaming"
ON_SERVER = "drafted on the server"
SPLIT = "split"
BURST = "split, burst"


@frozen
class Row:
    """One way of decoding, its `role`, over one link.

    `tokens_per_second` is all tokens over all seconds, from the request to the arrival of the last token;
    `first_token` is seconds until the first one, the mean of the texts. `calls` are requests per 100 tokens, bytes are
    per token, `acceptance_length` is tokens per pass of the target. `policy` shaped the trees.
    """

    link: str
    role: str
    drafter: str
    policy: str
    tokens_per_second: float
    first_token: float
    calls: float
    up: float
    down: float
    acceptance_length: float

    @property
    def depth(self) -> str:
        """The largest depth of trees, as the policy's options give it."""
        return str(Spec.parse(self.policy).options.get("depth", "")) if self.policy else ""

    @classmethod
    def of(cls, link: str, role: str, drafter: str, policy: str, deliveries: Sequence[Delivery]) -> "Row":
        """Compute the figures."""
        tokens = sum(len(one.tokens) for one in deliveries)

        def total(name: str) -> float:
            return float(sum(getattr(one, name) for one in deliveries))

        return cls(
            link=link,
            role=role,
            drafter=drafter,
            policy=policy,
            tokens_per_second=tokens / total("seconds"),
            first_token=total("first") / len(deliveries),
            calls=100 * total("calls") / tokens,
            up=total("up") / tokens,
            down=total("down") / tokens,
            acceptance_length=tokens / total("passes"),
        )
