"""Sessions on the toy target: those of a real one, but for the passes."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from attrs import define

from specdec.chance import Keyed, Noise
from specdec.errors import TreeError
from specdec.features import Features, Needs
from specdec.options import Sampling
from specdec.prefix import Prefix
from specdec.target.checks import check_prompt, check_tree
from specdec.target.decisions import Decision, Session
from specdec.target.engine import Engine, Slot
from specdec.target.sessions import CHUNK, Sessions
from specdec.testing.simulator import law
from specdec.tree import Tree


@define
class ToyEngine:
    """What a server asks an engine about."""

    vocab_size: int = law.VOCABULARY
    max_length: int | None = None
    length_advice: str = ""


class ToySessions(Sessions):
    """Decides by the law; `computing` hears of each session that is about to be decided on, `fails` spoils a pass."""

    def __init__(self, computing: Callable[[Session, Tree], object], fails: Callable[[], bool]) -> None:
        super().__init__(cast("Engine", ToyEngine()))
        self.computing, self.fails = computing, fails
        self.live: dict[Session, None] = {}

    def check(self, tokens: Sequence[int], needs: Needs) -> None:
        check_prompt(tokens, law.VOCABULARY, None)

    def open(self, tokens: Sequence[int], sampling: Sampling, needs: Needs) -> Session:
        session = Session(Slot(0), Prefix(list(tokens), sampling, Noise(Keyed(), sampling.seed)), needs)
        self.live[session] = None
        return session

    def close(self, *sessions: Session) -> None:
        for session in sessions:
            self.live.pop(session, None)

    def read(self, sessions: Sequence[Session], budget: int = CHUNK) -> list[Decision]:
        return [self._advance(session, [], min(budget, session.unread)) for session in sessions if session.unread]

    def verify(self, sessions: Sequence[Session], trees: Sequence[Tree]) -> list[Decision | Exception]:
        if len(sessions) > 1 and self.fails():
            raise RuntimeError("a pass over several sessions failed")
        return [self._answer(*pair) for pair in zip(sessions, trees, strict=True)]

    def features(self, decisions: Sequence[Decision]) -> Features | None:
        (decision,) = decisions
        needs, tokens = decision.session.needs, decision.session.prefix.tokens
        if not needs:
            return None
        start, end = decision.start, decision.start + len(decision.nodes)
        start = end - 1 if needs.only_last else start
        return Features(law.hidden_states(tokens, start, end, needs.hidden_states)[None])

    def _answer(self, session: Session, tree: Tree) -> Decision | Exception:
        try:
            if session not in self.live or session.unread:
                raise TreeError("expected a session that is open and read")
            self.computing(session, tree)
            check_tree(tree, session.prefix.tokens, law.VOCABULARY, None)
        except TreeError as error:
            return error
        tokens, node, state = list[int](), 0, law.after(session.prefix.tokens)
        while True:
            tokens.append(law.say(session.prefix.sampling.seed, state))
            state = law.after(tokens[-1:], state)
            children = {tree.tokens[child]: child for child in reversed(tree.children[node])}
            if tokens[-1] not in children:
                return self._advance(session, tokens, len(tokens))
            node = children[tokens[-1]]

    def _advance(self, session: Session, tokens: list[int], count: int) -> Decision:
        start = session.slot.length
        session.slot.length += count
        session.prefix.tokens.extend(tokens)
        return Decision(session, tokens, range(count), start, cast("Any", None), 0)
