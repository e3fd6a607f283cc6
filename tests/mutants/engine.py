"""48, 53 and 63 to 75: wrong stops, wrong histories, wrong caches; each shows in the text, or breaks what must hold."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from attrs import evolve
from transformers import LogitsProcessor, LogitsProcessorList

from specdec import Decoder, Sampling, Stop, Target, Tree, Walk
from specdec import sampling as sampling_module
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import NonFiniteLogits, SpecdecError, TreeError
from specdec.features import Needs
from specdec.interfaces import Rule
from specdec.pack import pack
from specdec.policies import Static
from specdec.prefix import Prefix
from specdec.rules import Match
from specdec.sampling import Processing
from specdec.target import sessions
from specdec.target.cache import SlotCache
from specdec.target.engine import Engine
from specdec.target.sessions import Sessions
from tests.mutants.mutant import mutant
from tests.toys import build

PROMPTS = [[5, 6, 5, 7], [1], [9, 9, 3, 0, 2, 8, 4], [4, 4], [3, 2, 1], [8, 0, 8, 0, 8]]
OPTIONS = (
    Sampling(),
    Sampling(temperature=0.8, seed=3),
    Sampling(temperature=0.8, repetition_penalty=1.7, seed=4),
    Sampling(repetition_penalty=1.7),
    Sampling(temperature=1.2, seed=5),
    Sampling(temperature=0.4, repetition_penalty=0.6, seed=6),
)
STOP = Stop(16, tokens=(11,))
Patch = tuple[Any, str, Any]


@cache
def model():
    return build("llama", vocab_size=12, seed=3)


@cache
def draft_model():
    """A model that mostly agrees with the target."""
    twin = build("llama", vocab_size=12, seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in twin.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
    return twin


def drafter() -> SmallModel:
    return SmallModel(draft_model())


def run(prompts: Sequence[list[int]], options: Sequence[Sampling], drafting=drafter, rule: Rule | None = None):
    target = Target(model(), rule=rule)
    return Decoder(drafting(), target, Static((3, 2, 1))).generate(list(prompts), list(options), STOP).tokens


@cache
def plain() -> tuple:
    """What each prompt gets alone and without a drafter."""
    return tuple(run([prompt], [one], NoDrafter)[0] for prompt, one in zip(PROMPTS, OPTIONS, strict=True))


def differs(*patches: Patch, rule: Rule | None = None) -> None:
    """Decode the batch in a spoiled engine, and compare with what plain decoding says in a whole one."""
    expected = plain()
    with ExitStack() as spoiled:
        for place, name, value in patches:
            spoiled.enter_context(patch.object(place, name, value))
        try:
            texts = run(PROMPTS, OPTIONS, rule=rule)
        except (SpecdecError, RuntimeError, IndexError) as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error
    for one, other in zip(texts, expected, strict=True):
        assert one == other, f"text differs from token {_difference(one, other)} of {len(other)}"


def _difference(one, other) -> int:
    return next(
        (i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


@mutant(48, "mixed_batch", "PERM", "vllm-ascend 16396, 16430")
def mixed_batch():
    class Wrong(Match):
        def decide(self, trees, logits, prefixes):
            return super().decide(trees, logits, [evolve(prefix, sampling=OPTIONS[0]) for prefix in prefixes])

    differs(rule=Wrong())


@mutant(53, "orphan_child", "SHAPE", "EAGLE-2")
def orphan_child():
    try:
        Tree.of([0, 1, 1], [-1, 0, 1]).select([0, 2])
    except TreeError as refused:
        raise AssertionError(f"TreeError: {refused}") from refused


@mutant(67, "history_not_path", "HIST", "SGLang, UMbreLLa, EAGLE")
def history_not_path():
    differs((Prefix, "history", lambda self, tree, node: self.tokens))


@mutant(68, "history_off_by_one", "HIST", "mlx-lm 990, 1175")
def history_off_by_one():
    whole = Prefix.history
    differs((Prefix, "history", lambda self, *at: whole(self, *at)[:-1]))


@mutant(69, "processor_draft_only", "HIST, ENUM", "MoA; SGLang 10617; vLLM 42744, 18902")
def processor_draft_only():
    whole = Processing.of
    differs((Processing, "of", lambda *options: evolve(whole(*options), processors=LogitsProcessorList())))


class Floored(LogitsProcessor):
    """Makes ties, which go to the lowest id."""

    def __call__(self, input_ids, scores):
        return (scores / 3).floor()


@mutant(70, "tie_order", "HIST, PERM", "vLLM 41598")
def tie_order():
    logits = torch.tensor([1.0, 5.0, 5.5, 5.0])
    options = Sampling(processors=(Floored(),))
    right = sampling_module.probs(options, [0], logits)
    wrong = 3 - int(Floored()(None, logits).flip(0).argmax())
    return float(abs(right - torch.eye(4)[wrong].numpy()).sum() / 2)


def _keep(change) -> Patch:
    """Keep other nodes of the target than those of a path that leaves some out."""
    whole = Engine.keep_all

    def wrong(self, slots, paths):
        spoiled = self.model is model()
        whole(self, slots, [change(path) if spoiled and path[-1] != len(path) - 1 else path for path in paths])

    return Engine, "keep_all", wrong


@mutant(71, "rollback_off_by_one: one lost", "STATE", "mlx-lm 846, 1427, 1446, 1486; llama.cpp 22746; HF 30312")
def one_entry_lost():
    """The last node of the path is cut off, and what stands after the others is taken for it."""
    differs(_keep(lambda path: [*path[:-1], len(path) - 1]))


@mutant(71, "rollback_off_by_one: one too many", "STATE", "mlx-lm, mlx-vlm 1144, 1155")
def one_entry_kept():
    """A rejected node stays, and shifts those after it."""
    differs(_keep(lambda path: [path[0], path[0] + 1, *path[1:]][: len(path)]))


class NotYet(LogitsProcessor):
    """Fails once."""

    def __init__(self):
        self.calls = 0

    def __call__(self, input_ids, scores):
        self.calls += 1
        return scores * float("nan") if self.calls == 3 else scores


def after_abort() -> None:
    """A step that fails changes nothing: asked again, it says what it would have said."""
    target, tokens, aborted = Target(model()), list(PROMPTS[0]), 0
    target.prefill([tokens], Needs(), [Sampling(processors=(NotYet(),))])
    for _ in range(5):
        try:
            tokens += target.verify([Tree.root(tokens[-1])]).tokens[0]
        except NonFiniteLogits:
            aborted += 1
    if aborted != 1:
        raise RuntimeError("nothing was aborted")
    text = tuple(tokens[len(PROMPTS[0]) :])
    assert text == plain()[0][: len(text)], "after an aborted step the text is another"


@mutant(72, "rollback_on_abort", "STATE", "mlx-lm 1528")
def rollback_on_abort():
    """An aborted step takes the last decided entry with it."""
    whole = Sessions._decide

    def trim(self, trees):
        reading, walks = whole(self, trees)
        for session, walk in walks.items():
            if isinstance(walk, NonFiniteLogits):
                self.engine.cache.clear(session.slot.index, session.slot.length - 1)
        return reading, walks

    plain()
    with patch.object(Sessions, "_decide", trim):
        after_abort()


@mutant(73, "kv_wrong_slot: column", "STATE", "vLLM 5412")
def kv_wrong_column():
    whole = SlotCache.move
    differs((SlotCache, "move", lambda self, slots, sources, columns: whole(self, slots, sources - 1, columns)))


@mutant(73, "kv_wrong_slot: descending", "STATE", "class of SGLang 15360, 27338")
def kv_descending():
    """Columns moved in place, last first, write over what is still to be moved."""

    def move(self, slots, sources, columns):
        for slot, source, column in torch.stack([slots, sources, columns], 1).flip(0).tolist():
            for block in self._blocks.values():
                block[:, slot, :, column] = block[:, slot, :, source]

    differs((SlotCache, "move", move))


@mutant(74, "mask_or_position: sibling seen", "STATE, PATH")
def sibling_seen():
    def open_mask(trees):
        packed = pack(trees)
        return evolve(packed, ancestors=torch.ones_like(packed.ancestors).tril())

    differs((sessions, "pack", open_mask))


@mutant(74, "mask_or_position: index", "STATE, PATH")
def position_is_index():
    def numbered(trees):
        packed = pack(trees)
        return evolve(packed, depths=torch.arange(packed.tokens.shape[1]).expand_as(packed.tokens))

    differs((sessions, "pack", numbered))


@mutant(75, "stream_unverified", "SHAPE, PATH", "MoA (217 tokens for 24)")
def stream_unverified():
    class Wrong(Match):
        decide = Rule.decide

        def walk(self, tree, probs, dice):
            path = tree.path(tree.depths.index(tree.depth))
            return Walk(path, dice.target(probs(path[-1] if path else 0), len(path)))

    differs(rule=Wrong())


def shipped_survive() -> None:
    """The whole engine says what plain decoding says."""
    differs()
    after_abort()
