"""63 to 66: sequences that end too late, too early, or at the wrong token."""

from attrs import evolve

from specdec.context import Context
from specdec.ends import End, Ends
from tests.mutants.engine import STOP, Patch, differs
from tests.mutants.mutant import mutant


def _ends(cut) -> Patch:
    return Ends, "cut", cut


def _unlimited(context):
    return evolve(context, limits=[limit + 100 for limit in context.limits])


@mutant(63, "past_eos", "JOINT", "EAGLE, UMbreLLa; vLLM 56101; HF 47912")
def past_eos():
    differs((End, "find", lambda self, before, tokens: len(tokens) if self.tokens & set(tokens) else None))


@mutant(64, "length_overrun", "JOINT, SHAPE", "EAGLE, koboldcpp 1276, SGLang 39826")
def length_overrun():
    """Drafts are deeper than there is room for, and nothing cuts what they bring."""
    whole = Ends.cut

    def late(self, context, step):
        step, done = whole(self, _unlimited(context), step)
        rows = zip(done, context.tokens, step.tokens, context.limits, strict=True)
        return step, [ended or len(old) + len(new) >= limit for ended, old, new, limit in rows]

    differs(_ends(late), (Context, "room", property(lambda self: [100] * len(self.tokens))))


@mutant(65, "one_token_per_step", "JOINT", "vLLM 26317; SGLang 28180, 33643, 31599")
def one_token_per_step():
    """A limit counts steps: sequences begin with all of it still to come."""
    whole = Ends.cut

    def counted(self, context, step):
        step, done = whole(self, _unlimited(context), step)
        self.steps = getattr(self, "steps", 0) + 1
        return step, [ended or self.steps >= STOP.max_tokens for ended in done]

    differs(_ends(counted))


@mutant(66, "eos_hard_coded", "PERM", "Sequoia")
def eos_hard_coded():
    whole = End.find
    differs((End, "find", lambda self, *texts: whole(End(frozenset({0, 2}), None), *texts)))
