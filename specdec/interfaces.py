"""The interfaces that plugins fill: four, and the rule by which a verifier decides."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike

from attrs import frozen
from jaxtyping import Float
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase

from specdec.chance import Chance, Dice, Probs
from specdec.context import Context, Step
from specdec.features import Needs
from specdec.options import Sampling
from specdec.prefix import Prefix
from specdec.tree import Tree

TargetProbs = Callable[[int], Probs]
"""What the target says after a node: probabilities over the vocabulary, [V], all options applied."""


class TreePolicy(ABC):
    """Decides the shape of a tree, and never its tokens, so it cannot bias the output."""

    sampled: bool = False
    """Draw children from the drafter's probabilities; a sequence at temperature 0 places the likeliest all the same."""
    draws: int | None = None
    """How many of a node's new children are drawn when sampling, all by default.

    The others are the likeliest: they come after, and are left out of what is drawn from."""
    sharpness: float = 1.0
    """Factor applied to the drafter's logits before placed nodes are scored.

    The target's choice is deterministic once its noise is known, or at temperature 0. What remains uncertain is how far
    the drafter's logits are from the target's, so its favourites are likelier than its softmax says."""

    @abstractmethod
    def widths(self, tree: Tree) -> Mapping[int, int]:
        """Say how many children to add to which nodes now; the tree has grown when there are none to add.

        The same tree gets the same answer: a tree that an answer adds nothing to is done.
        """

    def keep(self, tree: Tree) -> Collection[int]:
        """Say which nodes of the grown tree are worth verifying; a kept node's parent must be kept.

        By default all are. Dropping any from a tree that was drawn turns its nodes into placed ones.
        """
        return range(len(tree))

    def begin(self, unread: int, room: int, observed: bool) -> None:
        """Called before each step, where steps are observed: the drafter will read `unread` tokens, if it drafts.

        There is `room` for as many more tokens in the sequence that has most. Whether this step is `observed` is known
        too; a batch's first is not.
        """

    def observe(self, trees: Sequence[Tree | None], step: Step, drafting: float, verifying: float) -> None:
        """Called after a step with what was verified and decided, and the seconds that drafter and verifier took.

        A batch's first step is left out, for a target elsewhere may have been reading the prompts meanwhile.

        Later trees may depend on it; without calls, equal trees get equal shapes. It is called only where the text
        does not depend on the tree, because no two runs take the same time.
        """


class Drafter(ABC):
    """Guesses what the target will say next."""

    needs: Needs = Needs()
    """What it reads of the target, to be found in `context.features`."""
    vocab_size: int | None = None
    """Size of the vocabulary that it is made for; None if it serves any."""
    max_length: int | None = None
    """Most tokens of a sequence that it can read; None if there is no limit."""
    length_advice: str = ""
    """What stands in the way of longer sequences, and what to do about it."""
    policy: str = "chain"
    """The policy that suits it, written as on the command line; what a decoder uses if none is given."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def begin(self, context: Context) -> None:
        """Forget the last batch; `context` holds the prompts of the next one, already read."""

    @abstractmethod
    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        """Grow a tree for each sequence; None for those that are done.

        `specdec.grow.grow` does it for any drafter that can score tokens. Whatever is proposed, the
        output stays the target's. `context.features` is empty while the target is out of reach.
        """

    def unread(self, context: Context) -> int:
        """Count the tokens, of all sequences that are not done, that it will read before it drafts the next tree.

        Policies that learn take into account what that costs. 0 if there is nothing to catch up on.
        """
        return 0

    def cut(self, lengths: Sequence[int]) -> None:
        """Forget what was read of each sequence after this many tokens, for they were taken back."""

    def close(self) -> None:
        """Free what is held outside Python's own memory; a later `begin` may use it again."""


class Verifier(ABC):
    """Holds the target and decides which drafted tokens it would have said.

    One batch at a time: `prefill` begins it, and a sequence without a tree has left for good.
    """

    vocab_size: int
    max_length: int | None = None
    """Most tokens that a sequence may have; None if the target knows no limit."""
    length_advice: str = ""
    """What stands in the way of longer sequences, and what to do about it."""
    end_tokens: tuple[int, ...] = ()
    """Tokens that end a text by the target's own account."""
    tokenizer: PreTrainedTokenizerBase | None = None
    """The target's tokenizer, if it is at hand."""
    generation_config: GenerationConfig | None = None
    """How the target is decoded by default, by its own account."""
    files: str | PathLike[str] | None = None
    """A folder or a name on the hub with the files of a target that is elsewhere; heads read parts of it from there."""
    repeatable: bool = False
    """Whether the text is the same for every tree, as its rule's `repeatable` says."""
    chance: Chance | None = None
    """Where its noise comes from, for drafters to share; None for the usual, `Keyed`."""

    def view(self) -> "Verifier":
        """Give a verifier of the same target for one more batch, whose batches do not end this one's.

        By default this verifier itself: then a new batch ends the last one.
        """
        return self

    @abstractmethod
    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        """Forget the last batch and read each prompt but for its last token, the first root.

        The step that comes back holds the prompts from their second token on, with the features before each.

        Raises:
            PromptError: a prompt is empty, too long, or outside the vocabulary.
        """

    @abstractmethod
    def verify(self, trees: Sequence[Tree | None]) -> Step:
        """Read the trees, and decide at least one token of each sequence that has one.

        Raises:
            TreeError: a tree does not fit its sequence; nothing was changed.
            NonFiniteLogits: the target gave no usable probabilities; sequences without a tree have left, and nothing
                else was changed.
        """

    def settle(self) -> Step | None:
        """Verify what was said without the target, now that every sequence has ended; None if nothing is left.

        Sequences may then turn out not to have ended.
        """
        return None

    def close(self) -> None:
        """Free the batch."""


class Transport(ABC):
    """An ordered pipe for whole messages, reliable or broken.

    `send`, `receive` and `close` may be called at once, each from a thread of its own.
    """

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
    bonus: int


class Rule(ABC):
    """Decides which path of a tree the target agrees with, and the token after it."""

    exact: bool = True
    """Whether the output has the target's own probabilities; rules that do not keep them must be chosen by name."""
    repeatable: bool = False
    """Whether the text is the same for every tree, so that a step may be repeated with another one."""

    in_order: bool = False
    """Whether `walk` calls `probs` along one path from the root, once per node, as plain decoding would.

    Otherwise stateful processors of the user's own are copied for each call."""

    @abstractmethod
    def walk(self, tree: Tree, probs: TargetProbs, dice: Dice) -> Walk:
        """Accept a path of one tree. `probs` may be called for any node, and answers each call with a new array."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def decide(
        self, trees: Sequence[Tree], logits: Float[Tensor, "R N V"], prefixes: Sequence[Prefix]
    ) -> list[Walk | Exception]:
        """Decide on each tree of a batch, given the target's logits after each node; by default one by one.

        A sequence whose decision fails gets its error, and hurts no other.
        """
        return [self._attempt(*row) for row in zip(trees, logits, prefixes, strict=True)]

    def _attempt(self, tree: Tree, logits: Float[Tensor, "N V"], prefix: Prefix) -> Walk | Exception:
        try:
            probs = prefix.probs(tree, logits)
            if self.in_order or not prefix.sampling.processors:
                return self.walk(tree, probs, prefix.dice)
            walk = self.walk(tree, prefix.probs_in_any_order(tree, logits), prefix.dice)
            for node in (0, *walk.path):
                probs(node)  # so that processors remember what was decided
            return walk
        except Exception as error:
            return error
