"""The target on a server, as a verifier."""

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from random import Random
from typing import Any
from weakref import finalize

from transformers import PreTrainedTokenizerBase

from specdec.context import Step
from specdec.errors import OptionError, TreeError, VocabularyMismatch
from specdec.features import Needs
from specdec.interfaces import Verifier
from specdec.options import Sampling
from specdec.pending import FeaturesAt
from specdec.plugins import load_transport
from specdec.remote.dialer import Dialer
from specdec.remote.features import together
from specdec.remote.journal import Journal
from specdec.remote.link import Connect, Link
from specdec.remote.opening import make_opening
from specdec.remote.terms import check_terms
from specdec.split.messages import Open, Welcome
from specdec.split.text import Part, RemoteText
from specdec.target.checks import check_prompts, check_trees
from specdec.target.loading import Name, load_generation_config, load_tokenizer
from specdec.tree import Tree
from specdec.vocabulary import vocabulary_hash


class Remote(Verifier):
    """A target on a server, reached by any transport; its rule is `match`.

    Drafting begins before the prompt has been read: its features come with later steps, the last tokens' first. When
    the line breaks it is made again, within a step's patience; no step is computed twice.

    Streams in several threads share one connection and take turns on it: while one waits for its answer, the others
    wait for it. Several threads that are to decode at once have one `Remote` each.
    """

    repeatable = True

    def __init__(
        self,
        connect: Connect,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        files: Name | None = None,
        codec: str = "float16",
        window: int | None = None,
        patience: float = 10.0,
        journal: Journal | None = None,
        burst: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        """Connect, and learn from the server what its target is.

        `files` is a folder or a name on the hub with the target's files: they provide the tokenizer, unless one is
        given, the generation config, and the weights that a head shares with the target. `codec` encodes features, and
        `window` limits those of the prompt to its last tokens; None asks for all. A step may take `patience` seconds.
        With a `journal`, which is for one batch, the same prompts continue from there in a later process. With `burst`
        the server gives up to so many further answers while the next tree is drafted and sent.

        Raises:
            TransportError: the server cannot be reached, or speaks another version.
            VocabularyMismatch: its target has another tokenizer.
            OptionError: the codec is unknown, or a number is out of range.
            ModelError: there is no tokenizer at `files`.
        """
        check_terms(codec, window, patience, burst)
        if files is not None:
            self.files, self.generation_config = files, load_generation_config(files)
            tokenizer = tokenizer or load_tokenizer(files)
        self.tokenizer, self.journal = tokenizer, journal
        self.codec, self.window, self.patience, self.burst = codec, window, patience, burst
        self.link = Link(connect, clock, sleep, random or Random())
        self._greet()
        self.texts: list[RemoteText | None] = []
        self._is_view = False
        self.restored: dict[int, list[int]] = {}
        """By sequence, the journal's tokens, until a step has given them."""

    def _greet(self) -> None:
        """Learn what the server's target is, from it or from the journal, and compare the vocabulary."""
        if self.journal is not None:
            self.link.client.welcome = self.journal.welcome
        self.link.until(lambda: self.link.client.welcome is not None, self.patience)
        welcome = self._welcome
        if self.journal is not None:
            self.journal.meet(welcome)
        self.vocab_size, self.max_length = welcome.vocab_size, welcome.max_length
        self.length_advice, self.end_tokens = welcome.length_advice, tuple(welcome.end_tokens)
        own = vocabulary_hash(self.tokenizer) if self.tokenizer is not None and welcome.tokenizer_hash else ""
        if own and own != welcome.tokenizer_hash:
            self.link.drop()
            raise VocabularyMismatch("expected the tokenizer of the server's target, got one with another vocabulary")

    @classmethod
    def to(cls, address: str, tokenizer: PreTrainedTokenizerBase | None = None, **options: Any) -> "Remote":
        """Connect to an address such as `ws://host:port`, which begins with the name of a transport."""
        scheme, colon, _ = address.partition(":")
        if not colon:
            raise OptionError(f"expected the address of a server, as TRANSPORT:REST, got {address!r}")
        return cls(Dialer(lambda: load_transport(scheme, address)), tokenizer, **options)

    def __repr__(self) -> str:
        return f"Remote({self.vocab_size} tokens, {self.max_length or 'any number of'} positions, {self.codec})"

    def view(self) -> "Remote":
        remote = copy(self)
        remote.texts, remote.restored, remote._is_view = [], {}, True
        finalize(remote, self.link.abandoned.append, remote.texts)
        return remote

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        check_prompts(prompts, sampling, self.vocab_size, self.max_length)
        terms = self._welcome, self.codec, self.window
        openings = [make_opening(prompt, needs, one, *terms) for prompt, one in zip(prompts, sampling, strict=True)]
        self._end_batch()
        for number, (prompt, opening) in enumerate(zip(prompts, openings, strict=True)):
            self._join(number, list(prompt), opening)
        if self.burst and not self.restored:  # so that the server need not wait for the first tree
            self.ask({number: Tree.root(prompt[-1]) for number, prompt in enumerate(prompts)})
        self.link.flush()
        return Step([list(prompt[1:]) for prompt in prompts], [0] * len(prompts))

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        if self.restored:  # the trees follow the prompt, not the journal's text
            return self._continue()
        self.check(trees)
        for number, tree in enumerate(trees):
            if tree is None:
                self._leave(number)
        self.ask({number: tree for number, tree in enumerate(trees) if tree is not None})
        self.wait()
        if self.burst:
            self.link.poll()
        tokens, late = self.take()
        accepted = [0 if tree is None else len(tree.follow(row[:-1])) for tree, row in zip(trees, tokens, strict=True)]
        return Step(tokens, accepted, features=late)

    def close(self) -> None:
        self._end_batch()
        self.link.flush()
        if not self._is_view:
            self.link.drop()  # another is made when it is needed

    def check(self, trees: Sequence[Tree | None]) -> None:
        """Check that trees fit their sequences.

        Raises:
            TreeError: one does not, is too large for the server, or there is none at all.
        """
        texts = [None if text is None else text.tokens for text in self.texts]
        check_trees(trees, texts, self.vocab_size, self.max_length)
        for number, tree in enumerate(trees):
            if tree is not None and len(tree) > self.most_nodes:
                raise TreeError(
                    f"expected at most {self.most_nodes} nodes for sequence {number}, for the server takes no more, "
                    f"got {len(tree)}; a policy of a smaller size fits"
                )

    @property
    def encoders(self) -> tuple[str, ...]:
        """Digests of the server's encoders."""
        return self._welcome.encoders

    @property
    def most_nodes(self) -> int:
        """Most nodes of a tree, by the server's limits."""
        return self._welcome.most_nodes

    def ask(self, trees: Mapping[int, Tree]) -> None:
        """Have trees verified, in place of earlier ones that are unanswered, without waiting."""
        for number, tree in trees.items():
            text = self.texts[number]
            if text is not None:
                self.link.ask(text, tree, self.patience)

    @property
    def settled(self) -> bool:
        """Whether all trees are answered.

        Raises:
            SpecdecError: the server has refused one of the batch for good.
        """
        texts = [text for text in self.texts if text is not None]
        if error := next((text.error for text in texts if text.error is not None), None):
            raise error
        return all(text.asked is None for text in texts)

    def wait(self) -> None:
        """Wait until all trees are answered.

        Raises:
            TransportError: nothing came within a step's patience.
        """
        self.link.until(lambda: self.settled, self.patience)

    def adopt(self, number: int, tokens: Sequence[int]) -> None:
        """Count a drafter's tokens as decided, and continue from there."""
        text = self.texts[number]
        if text is not None and tokens:
            text.asked, text.answered = None, []
            beyond = [part for part in text.parts if part.start + part.features.count > len(text.tokens)]
            for part in beyond:  # of a burst whose tokens were dropped
                text.parts.remove(part)
                text.known &= ~(((1 << part.features.count) - 1) << part.start)
            text.append(list(tokens))
            self.link.join(text)
            if self.journal is not None:
                self.journal.keep(number)

    def said_alone(self) -> list[list[int]]:
        """The unverified tokens that the journal has, by sequence."""
        chapters = {} if self.journal is None else self.journal.chapters
        said = [chapters[number].said if number in chapters else [] for number in range(len(self.texts))]
        return [list(tokens) for tokens in said]

    def take(self, *, restored: bool = False) -> tuple[list[list[int]], tuple[FeaturesAt, ...]]:
        """Append the answered tokens, and return them with new features; `restored` ones are in the journal already."""
        tokens, parts = list[list[int]](), list[list[Part]]()
        for text in self.texts:
            tokens.append([] if text is None else text.take())
            parts.append([] if text is None else text.parts)
            if text is not None:
                text.parts = []
        if self.journal is not None and not restored:
            for number, (new, learnt) in enumerate(zip(tokens, parts, strict=True)):
                self.journal.note(number, new, learnt)
        return tokens, together(parts)

    def _join(self, number: int, prompt: list[int], opening: Open) -> None:
        chapter = None if self.journal is None else self.journal.begin(number, opening)
        text = RemoteText(opening if chapter is None else chapter.opening, prompt, burst=self.burst)
        if self.window is not None:
            text.known = (1 << max(len(prompt) - 1 - self.window, 0)) - 1
        if chapter is not None and chapter.decided:
            text.append(chapter.decided)
            self.restored[number] = [*chapter.decided]
            for part in chapter.parts:
                text.learn(*part)
        self.texts.append(text)
        self.link.join(text)

    def _continue(self) -> Step:
        """Give the journal's tokens and features, as the first step."""
        restored, self.restored = self.restored, {}
        tokens = [restored.get(number, []) for number in range(len(self.texts))]
        lengths = [0 if text is None else len(text.tokens) for text in self.texts]
        starts = [length - len(row) for length, row in zip(lengths, tokens, strict=True)]  # no pass of the target's
        accepted = [max(len(row) - 1, 0) for row in tokens]
        return Step(tokens, accepted, features=self.take(restored=True)[1], starts=starts)

    def _end_batch(self) -> None:
        for number in range(len(self.texts)):
            self._leave(number)
        self.texts.clear()
        self.restored.clear()

    def _leave(self, number: int) -> None:
        text, self.texts[number] = self.texts[number], None
        if text is not None:
            self.link.leave(text)

    @property
    def _welcome(self) -> Welcome:
        welcome = self.link.client.welcome
        if welcome is None:
            raise OptionError("expected a server's welcome, got none")
        return welcome
