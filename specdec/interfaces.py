"""The interfaces that plugins fill: four, and the rule by which a verifier decides."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from attrs import frozen
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from specdec.chance import Dice, Weights
from specdec.context import Context, Step
from specdec.features import Needs
from specdec.options import Sampling
from specdec.tree import Tree

Law = Callable[[int], Weights]
"""What the target would say after a node: probabilities over the vocabulary, all options applied."""


class TreePolicy(ABC):
    """Decides the shape of a tree, and never its tokens, so it cannot bias the output."""

    sampled: bool = False
    """Draw children from the drafter's law instead of placing the likeliest; greedy rows place them all the same."""
    draws: int | None = None
    """How many of the children asked for under a node are drawn when sampling, all by default.

    The others are the likeliest: they stand behind, and the law that is drawn from leaves them out."""
    sharpness: float = 1.0
    """By what the drafter's logits are multiplied before placed nodes get their scores.

    The target's choice is certain once its noise is known, and at temperature 0 there is none: what is left to doubt
    is how far the drafter's logits are from the target's, so its favourites are likelier than its law says."""

    @abstractmethod
    def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
        """Say how many children to add under each node now; all zero ends the growth."""

    def keep(self, tree: Tree) -> Bool[Tensor, "B N"]:
        """Say which nodes of the grown tree are worth verifying; a kept node's parent must be kept.

        By default all are. Dropping any from a tree that was drawn turns its nodes into placed ones.
        """
        return tree.nodes


class Drafter(ABC):
    """Guesses what the target will say next."""

    needs: Needs = Needs()
    """What it reads of the target, to be found in `context.step.features`."""
    vocab_size: int | None = None
    """Size of the vocabulary that it is made for; None if it serves any."""
    policy: str = "chain"
    """The policy that suits it, written as on the command line; what a decoder uses if none is given."""

    def begin(self, context: Context) -> None:
        """Forget the last batch; `context` holds the prompts of the next one, already read."""

    @abstractmethod
    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        """Grow a tree under each row's root; rows that are done have none.

        `specdec.grow.grow` does it for any drafter that can score tokens. Whatever is proposed, the
        output stays the target's. `context.step.features` is None when the target is out of reach.
        """

    def close(self) -> None:
        """Free what is held outside Python's own memory."""


class Verifier(ABC):
    """Holds the target and decides which drafted tokens it would have said.

    One batch at a time: `prefill` begins it, and a row whose root is padding has left for good.
    """

    vocab_size: int
    max_length: int | None = None
    """Most tokens that a row may have; None if the target knows no limit."""
    end_tokens: tuple[int, ...] = ()
    """Tokens that end a text by the target's own account."""
    tokenizer: PreTrainedTokenizerBase | None = None
    """The target's tokenizer, if it is at hand."""

    @abstractmethod
    def prefill(
        self,
        tokens: Int[Tensor, "B T"],
        lengths: Int[Tensor, " B"],
        needs: Needs,
        sampling: Sequence[Sampling],
    ) -> Step:
        """Forget the last batch and read each prompt but for its last token, the first root.

        The step that comes back holds the prompts from their second token on, with the features before each.

        Raises:
            PromptError: a prompt is empty, too long, or outside the vocabulary.
        """

    @abstractmethod
    def verify(self, tree: Tree) -> Step:
        """Read the trees, and decide at least one token per row.

        Raises:
            TreeError: the tree does not fit the batch; nothing was changed.
            NonFiniteLogits: the target gave no usable law; nothing was changed.
        """

    def close(self) -> None:
        """Free the batch."""


class Transport(ABC):
    """An ordered pipe for whole messages, reliable or broken."""

    @abstractmethod
    def send(self, message: bytes) -> None:
        """Hand over one message, without waiting for an answer.

        Raises:
            ConnectionLost: the pipe is broken; the message may or may not have arrived.
        """

    @abstractmethod
    def receive(self, timeout: float | None = None) -> bytes:
        """Wait for the next message, at most `timeout` seconds.

        Raises:
            TimedOut: nothing came in time; a later call may succeed.
            ConnectionLost: the pipe is broken and nothing more will come.
        """

    def close(self) -> None:
        """Break the pipe; both ends see it."""


@frozen
class Walk:
    """The path that a rule accepts, from the root's child down, and the target's token after it."""

    path: list[int]
    token: int


class Rule(ABC):
    """Decides which path of one row's tree the target agrees with, and the token after it."""

    exact: bool = True
    """Whether what comes out has the target's own law; rules that do not say so, and must be asked for by name."""

    @abstractmethod
    def walk(self, tree: Tree, row: int, law: Law, dice: Dice) -> Walk:
        """Accept a path of the row's tree. `law` may be asked about any node, and answers each call anew."""
