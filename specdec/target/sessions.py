"""Sequences of any number of owners on one engine: each joins, reads, is verified and leaves at its own time."""

from collections import deque
from collections.abc import Container, Mapping, Sequence
from threading import RLock

from attrs import define, field
from jaxtyping import Float
from torch import Tensor

from specdec.chance import Chance, Keyed, Noise
from specdec.errors import NonFiniteLogits, OptionError, TreeError
from specdec.features import Features, Needs
from specdec.interfaces import Rule, Walk
from specdec.options import Sampling
from specdec.pack import Packed, pack, pack_chains
from specdec.prefix import Prefix
from specdec.rules import Match
from specdec.target.checks import check_needs, check_prompt, check_tree
from specdec.target.decisions import Decision, Session
from specdec.target.engine import Engine, Reading
from specdec.target.pass_features import features_of
from specdec.tree import Tree

CHUNK = 512
"""Prompt tokens that are read in one pass, so that a long prompt's mask stays small, and no tree waits long."""


@define(eq=False)
class Sessions:
    """Opens sessions on an engine, and reads the prompts and trees of any set of them in one pass.

    All methods may be called from several threads: one pass runs at a time.
    """

    engine: Engine
    rule: Rule = field(factory=Match)
    chance: Chance = field(factory=Keyed)
    _open: dict[Session, None] = field(factory=dict, init=False)  # in the order in which they were opened
    _abandoned: deque[Session] = field(factory=deque, init=False)
    lock: RLock = field(factory=RLock, init=False)
    """Held by whoever reads or changes what the engine holds."""

    def check(self, tokens: Sequence[int], needs: Needs) -> None:
        """Check that a sequence may join; raises the same errors as `open`."""
        check_prompt(tokens, self.engine.vocab_size, self.engine.max_length)
        check_needs(needs, len(self.engine.layers))

    def open(self, tokens: Sequence[int], sampling: Sampling, needs: Needs) -> Session:
        """Let a sequence join; none of its tokens is read yet.

        Raises:
            PromptError: it is empty, too long, or outside the vocabulary.
            OptionError: the model has no such layers as it needs.
        """
        self.check(tokens, needs)
        with self.lock:
            self.close()
            prefix = Prefix(list(tokens), sampling, Noise(self.chance, sampling.seed))
            session = Session(self.engine.open(len(tokens)), prefix, needs)
            self._open[session] = None
            return session

    def close(self, *sessions: Session) -> None:
        """Let sequences leave, and those that were abandoned; one that has left already stays so."""
        with self.lock:
            abandoned = [self._abandoned.popleft() for _ in range(len(self._abandoned))]
            leaving = [session for session in dict.fromkeys([*sessions, *abandoned]) if session in self._open]
            for session in leaving:
                del self._open[session]
            self.engine.close(*[session.slot for session in leaving])

    def abandon(self, sessions: Sequence[Session | None]) -> None:
        """Close these before the next session opens or closes.

        A garbage collector may call it, even in the middle of a pass.
        """
        self._abandoned.extend(session for session in sessions if session is not None)

    def step(self, trees: Mapping[Session, Tree], budget: int = CHUNK) -> dict[Session, Decision | Exception]:
        """Take one turn: verify these trees in one pass, then read one chunk of the prompts that are still unread.

        So no tree waits for more than one chunk of other sessions' prompts, and no prompt for more than one pass.
        """
        with self.lock:
            decisions = self.verify([*trees], [*trees.values()]) if trees else []
            self.read([session for session in self._open if session.unread], budget)
            return dict(zip(trees, decisions, strict=True))

    def read(self, sessions: Sequence[Session], budget: int = CHUNK) -> list[Decision]:
        """Read the next tokens before the roots of these sessions, in one pass of at most `budget` tokens.

        The first sessions come first; the budget is shared evenly between as many as it has tokens for.
        """
        with self.lock:
            unread = [session for session in dict.fromkeys(sessions) if session in self._open and session.unread]
            sessions = unread[: max(budget, 1)]
            if not sessions:
                return []
            size = min(max(budget // len(sessions), 1), max(session.unread for session in sessions))
            rows = _in_place(sessions)
            parts = [session.prefix.tokens[:-1][session.slot.length :][:size] for session in rows]
            reading = self._pass(rows, pack_chains(parts), logits=False)
            decisions = self._keep([(row, one, range(len(parts[row])), []) for row, one in enumerate(rows)], reading)
            return [decisions[session] for session in sessions]

    def verify(self, sessions: Sequence[Session], trees: Sequence[Tree]) -> list[Decision | Exception]:
        """Read a tree of each session in one pass, and keep the path that the rule accepts.

        A session that fails gets its error, stays as it was, and hurts no other: its tree does not fit it, its logits
        are not finite, or one of its processors raised.
        """
        with self.lock:
            refused, valid = dict[int, Exception](), dict[Session, Tree]()
            for place, (session, tree) in enumerate(zip(sessions, trees, strict=True)):
                try:
                    self._check(session, tree, valid)
                    valid[session] = tree
                except TreeError as error:
                    refused[place] = error
            outcomes = dict[Session, Decision | Exception]()
            if valid:
                reading, walks = self._decide(valid)
                outcomes |= {session: walk for session, walk in walks.items() if isinstance(walk, Exception)}
                outcomes |= self._accept(valid, walks, reading)
            return [refused[place] if place in refused else outcomes[one] for place, one in enumerate(sessions)]

    def verify_together(self, sessions: Sequence[Session], trees: Sequence[Tree]) -> list[Decision]:
        """Do the same with all or none: if one session fails, its error is raised, and all stay as they were.

        Raises:
            TreeError: a tree does not fit its session.
            NonFiniteLogits: the target gave no usable probabilities.
        """
        with self.lock:
            valid = dict[Session, Tree]()
            for session, tree in zip(sessions, trees, strict=True):
                self._check(session, tree, valid)
                valid[session] = tree
            reading, walks = self._decide(valid)
            for walk in walks.values():
                if isinstance(walk, Exception):
                    raise walk
            decisions = self._accept(valid, walks, reading)
            return [decisions[session] for session in sessions]

    def features(self, decisions: Sequence[Decision]) -> Features | None:
        """Gather what a drafter reads of the tokens that one pass kept, for sessions of the same needs, [B, K, ...].

        Raises:
            OptionError: the decisions are of several passes, or of a session that has left.
        """
        with self.lock:
            if not all(self.holds(decision.session) for decision in decisions):
                raise OptionError("expected decisions of sessions that are open, got one of a session that has left")
            if len({id(decision.reading) for decision in decisions}) > 1:
                raise OptionError(f"expected decisions of one pass, got {len(decisions)} of several")
            read = features_of(self, [decision.session for decision in decisions], decisions)
            return None if read is None else read.features

    def holds(self, session: Session) -> bool:
        """Whether a session is open."""
        return session in self._open

    def _check(self, session: Session, tree: Tree, others: Container[Session]) -> None:
        if session not in self._open:
            raise TreeError("expected a session that is open, got one that has left")
        if session in others:
            raise TreeError("expected one tree of each session, got two of one")
        if session.unread:
            raise TreeError(
                f"expected a session whose prompt has been read, got one with {session.unread} tokens unread"
            )
        check_tree(tree, session.prefix.tokens, self.engine.vocab_size, self.engine.max_length)

    def _decide(self, trees: dict[Session, Tree]) -> tuple[Reading, dict[Session, Walk | Exception]]:
        """Read trees and decide on them, the sessions in the order of their rows.

        A drafted token whose embedding is NaN spoils what is read beside it: such trees are cut to their roots, in
        `trees` too, and read again, so that drafting ends no text that plain decoding would continue. A rule whose
        text depends on the tree may try again only if the root itself is spoiled, in which chance has no part.
        """
        rows = _in_place([*trees])
        reading, logits = self._read_trees(rows, trees)
        walks = self.rule.decide([trees[session] for session in rows], logits, [session.prefix for session in rows])
        outcomes = dict(zip(rows, walks, strict=True))
        spoiled = {
            row: session
            for row, (session, walk) in enumerate(outcomes.items())
            if isinstance(walk, NonFiniteLogits)
            and len(trees[session]) > 1
            and (self.rule.repeatable or not logits[row, 0].max().isfinite())
        }
        if spoiled:
            trees |= {session: Tree.root(session.prefix.tokens[-1]) for session in spoiled.values()}
            reading, logits = self._read_trees(rows, trees)
            roots, prefixes = zip(*((trees[session], session.prefix) for session in spoiled.values()), strict=True)
            walks = self.rule.decide(roots, logits[[*spoiled]], prefixes)  # the others' processors are not asked again
            outcomes |= dict(zip(spoiled.values(), walks, strict=True))
        return reading, outcomes

    def _read_trees(
        self, rows: Sequence[Session], trees: Mapping[Session, Tree]
    ) -> tuple[Reading, Float[Tensor, "R M V"]]:
        reading = self._pass(rows, pack([trees[session] for session in rows]))
        if reading.logits is None:
            raise RuntimeError("a pass over trees gives logits")
        return reading, reading.logits

    def _pass(self, rows: Sequence[Session], packed: Packed, *, logits: bool = True) -> Reading:
        hidden = dict.fromkeys(index for session in rows for index in session.needs.hidden_states)
        slots = [session.slot for session in rows]
        return self.engine.read(
            slots, packed.tokens, packed.depths, packed.ancestors, hidden_states=tuple(hidden), logits=logits
        )

    def _accept(
        self, trees: Mapping[Session, Tree], walks: Mapping[Session, Walk | Exception], reading: Reading
    ) -> dict[Session, Decision]:
        """Keep the paths that were accepted."""
        paths = []
        for row, (session, walk) in enumerate(walks.items()):
            if isinstance(walk, Walk):
                tokens = [*(trees[session].tokens[node] for node in walk.path), walk.bonus]
                paths.append((row, session, [0, *walk.path], tokens))
        return self._keep(paths, reading)

    def _keep(
        self, rows: Sequence[tuple[int, Session, Sequence[int], list[int]]], reading: Reading
    ) -> dict[Session, Decision]:
        """Keep nodes of some rows of a pass, and append what was decided."""
        slots = [session.slot for _, session, _, _ in rows]
        starts = [slot.length for slot in slots]
        self.engine.keep_all(slots, [nodes for _, _, nodes, _ in rows])
        decisions = {}
        for start, (row, session, nodes, tokens) in zip(starts, rows, strict=True):
            session.prefix.tokens.extend(tokens)
            decisions[session] = Decision(session, tokens, nodes, start, reading, row)
        return decisions


def _in_place(sessions: Sequence[Session]) -> list[Session]:
    """Sort by slots, for neighbours are read without a copy."""
    return sorted(sessions, key=lambda session: session.slot.index)
