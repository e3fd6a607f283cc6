"""63 to 66: rows that end too late, too early, or at the wrong token."""

import torch
from attrs import evolve

from specdec.ends import Ends
from tests.mutants.engine import STOP, Patch, differs
from tests.mutants.mutant import mutant


def _ends(cut) -> Patch:
    return Ends, "cut", cut


@mutant(63, "past_eos", "JOINT", "EAGLE, UMbreLLa; vLLM 56101; HF 47912")
def past_eos():
    def first_end(self, context, row, tokens):
        return len(tokens) - 1 if set(tokens) & self._tokens else None

    differs((Ends, "_first_end", first_end))


@mutant(64, "length_overrun", "JOINT, SHAPE", "EAGLE, koboldcpp 1276, SGLang 39826")
def length_overrun():
    whole = Ends.cut

    def late(self, context, step):
        step, _ = whole(self, evolve(context, limits=context.limits + 100), step)
        return step, context.done | (context.lengths + step.lengths >= context.limits)

    differs(_ends(late))


@mutant(65, "one_token_per_step", "JOINT", "vLLM 26317; SGLang 28180, 33643, 31599")
def one_token_per_step():
    """A limit counts steps: rows begin with what they may say still to come."""
    whole = Ends.cut

    def counted(self, context, step):
        step, done = whole(self, evolve(context, limits=context.limits + 100), step)
        self.steps = getattr(self, "steps", 0) + 1
        return step, done | torch.full_like(done, self.steps >= STOP.max_tokens)

    differs(_ends(counted))


@mutant(66, "eos_hard_coded", "PERM", "Sequoia")
def eos_hard_coded():
    whole = Ends.__init__

    def fixed(self, stop, end_tokens, tokenizer):
        whole(self, stop, end_tokens, tokenizer)
        self._tokens = {0, 2}

    differs((Ends, "__init__", fixed))
