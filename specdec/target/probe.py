"""Whether a model that reads trees in passes says what it says by itself: found by trying, once per model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from specdec.errors import UnsupportedModel
from specdec.pack import Packed, pack, pack_chains
from specdec.target.requirements import readable
from specdec.target.support import evaluating
from specdec.tree import Tree

if TYPE_CHECKING:
    from specdec.target.engine import Engine, Slot

REASONS = {
    "order": "what it says after a token changes with the tokens that follow it (it is not causal)",
    "positions": "given its positions and a mask, it reads a text otherwise than by itself",
    "neighbour": "it reads a text otherwise beside a longer one",
    "chunks": "it reads a text otherwise in two chunks than at once",
    "tree": "it reads a text otherwise as a path of a tree",
}
"""The parts that may differ, and what that says of a model."""

TRIES = 4
"""How many texts are tried where the model itself says what is no number."""

EXACT = 1e-6
"""Rounding up to which no token is expected to change its way."""

_passed: WeakKeyDictionary[PreTrainedModel, set[tuple[object, ...]]] = WeakKeyDictionary()
"""Models that have passed, each with what its answer depends on."""


def check_reading(engine: "Engine") -> None:
    """Read a text as a chain with a tree after it, in two chunks, beside a longer one, as the model does by itself.

    Raises:
        UnsupportedModel: its logits differ, or it cannot be read so; the message says which part differs.
    """
    model, attention = engine.model, engine.attention
    implementation = getattr(engine.config, "_attn_implementation", None)
    key = (engine.dtype, engine.device, implementation, type(attention), torch.is_autocast_enabled(engine.device.type))
    if key in _passed.setdefault(model, set()):
        return
    name = type(model).__name__
    with readable(name):
        part = _differing(engine)
    if part is not None:
        raise UnsupportedModel(f"expected a model that reads trees as it reads texts, got {name}: {REASONS[part]}")
    _passed[model].add(key)


@frozen
class _Texts:
    """A text, two ways in which it continues from its last token, and a longer text."""

    chain: list[int]
    branches: tuple[list[int], list[int]]
    neighbour: list[int]

    @classmethod
    def draw(cls, vocab_size: int, limit: int | None, seed: int) -> "_Texts":
        most = 16 if limit is None else max(min(limit, 16), 4)
        size, depth = max(most // 2, 3), min(max(most // 4, 1), 3)
        generator = torch.Generator().manual_seed(seed)
        tokens: list[int] = torch.randint(
            vocab_size, (size + depth + most,), generator=generator, device="cpu"
        ).tolist()
        chain, branch, neighbour = tokens[:size], tokens[size : size + depth], tokens[size + depth :]
        return cls(chain, (branch, [(token + 1) % vocab_size for token in branch]), neighbour)

    @property
    def tree(self) -> Tree:
        """Both branches after the chain's last token, in turns: a branch's nodes stand at every second column."""
        tokens = [self.chain[-1], *(token for level in zip(*self.branches, strict=True) for token in level)]
        return Tree.of(tokens, [-1, 0, *range(len(tokens) - 2)])

    @property
    def paths(self) -> list[list[int]]:
        return [self.chain + branch for branch in self.branches]


def _differing(engine: "Engine") -> str | None:
    """Name the first part that differs."""
    for seed in range(TRIES):
        texts = _Texts.draw(engine.vocab_size, engine.max_length, seed)
        own = [_own(engine.model, tokens) for tokens in (*texts.paths, texts.neighbour)]
        if all(logits.isfinite().all() for logits in own):
            break
    shared = len(texts.chain)
    if _differ(own[0][:shared], own[1][:shared], engine):
        return "order"
    for part, read, expected in _readings(engine, texts, own):
        if _differ(read, expected, engine):
            return part
    return None


def _own(model: PreTrainedModel, tokens: list[int]) -> Float[Tensor, "T V"]:
    """What the model says of a text by itself: no mask, no positions, no cache."""
    with torch.inference_mode(), evaluating(model):
        ids = torch.tensor([tokens], device="cpu" if model.device.type == "meta" else model.device)
        logits: Tensor = model(input_ids=ids, use_cache=False).logits[0]
    return logits


def _readings(engine: "Engine", texts: _Texts, own: Sequence[Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Read in three passes; give what was read and what was to be expected, [M, V], with the name of what is new."""
    first, second, longer = own
    chain, neighbour, tree = texts.chain, texts.neighbour, texts.tree
    short, long = len(chain) // 2, len(neighbour) // 2
    slots = [engine.open(), engine.open()]
    try:
        logits = _read(engine, slots, pack_chains([neighbour[:long], chain[:short]]))
        yield "positions", logits[0], longer[:long]
        yield "neighbour", logits[1, :short], first[:short]
        engine.keep_all(slots, [range(long), range(short)])
        logits = _read(engine, slots, pack_chains([neighbour[long:-1], chain[short:-1]]))
        rest = len(chain) - 1 - short
        yield "chunks", torch.cat([logits[0], logits[1, :rest]]), torch.cat([longer[long:-1], first[short:][:rest]])
        engine.keep_all(slots, [range(len(neighbour) - 1 - long), range(rest)])
        logits = _read(engine, slots, pack([Tree.root(neighbour[-1]), tree]))
        below = logits[1, 1 : len(tree)]
        yield "chunks", logits[:, 0], torch.stack([longer[-1], first[len(chain) - 1]])
        yield "tree", torch.cat([below[::2], below[1::2]]), torch.cat([first[len(chain) :], second[len(chain) :]])
    finally:
        engine.close(*slots)


def _read(engine: "Engine", slots: Sequence["Slot"], packed: Packed) -> Float[Tensor, "R M V"]:
    logits = engine.read(slots, packed.tokens, packed.depths, packed.ancestors).logits
    if logits is None:
        raise RuntimeError("a pass gives logits")
    return logits


def _differ(read: Float[Tensor, "M V"], own: Float[Tensor, "M V"], engine: "Engine") -> bool:
    """Whether logits differ by more than rounding; half precision may send a token or two to other experts."""
    read, own = read.double(), own.double()
    finite = own.isfinite()
    if finite.all() and not read.isfinite().all():
        return True
    both = finite & read.isfinite()
    errors = torch.where(both, read - own, 0).square().mean(1).sqrt()
    spread = torch.where(both, own, 0).std(1).clamp(min=torch.finfo(torch.float32).tiny)
    precision = _precision(engine)
    error = (errors / spread).median() if precision > EXACT else (errors / spread).max()
    return bool(error > precision**0.5)


def _precision(engine: "Engine") -> float:
    """The spacing of the numbers that it computes with; double precision has parts in float32."""
    device = engine.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else engine.dtype
    if dtype == torch.float32 and device == "cuda" and torch.get_float32_matmul_precision() != "highest":
        dtype = torch.float16  # as precise as TensorFloat-32
    return max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
