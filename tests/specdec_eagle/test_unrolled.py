"""Training-time test is what drafting does: each of its steps gives what a drafter's rows give of the same tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specdec.heads import TargetParts
from specdec.target import TreePass
from specdec_eagle import unrolled
from specdec_eagle.cache import EagleCache
from specdec_eagle.model import EagleHead
from specdec_eagle.unrolled import unroll
from tests.specdec_eagle.heads import FAMILIES, NAMES, head, target
from tests.toys import VOCAB


def draft(made: EagleHead, tokens: list[int], features: Tensor, start: int, steps: int) -> list[Tensor]:
    """Draft the text's own tokens after pair `start`, one by one, from what the target told of the pairs up to it."""
    cache = EagleCache(made, TargetParts.of(target()))
    cache.open(1)
    cache.learn(features[None, : start + 1], [0], [start + 1])
    found = [cache.follow([tokens[: start + 2]], [0])[0, 0]]
    for step in range(1, steps):
        depths, visible = torch.arange(step + 1)[None], torch.ones(1, 1, step + 1, dtype=torch.bool)
        tree_pass = TreePass(torch.tensor([start]), depths, visible)
        token = torch.tensor([[tokens[start + 1 + step]]])
        found.append(cache.read(token, found[-1][None, None], tree_pass, [0])[0, 0])
    return found


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(size=st.integers(2, 9), steps=st.integers(1, 7), seed=st.integers(0, 99), checkpointed=st.booleans())
def test_every_step_is_a_draft(name: str, size: int, steps: int, seed: int, checkpointed: bool) -> None:
    chance, made = torch.Generator().manual_seed(seed), head(name, target())
    tokens = torch.randint(VOCAB, (2, size), generator=chance)
    features = torch.randn(2, size, 32, generator=chance, dtype=torch.float64)
    embedded = target().get_input_embeddings()(tokens[:, 1:])
    positions = torch.arange(size - 1).expand(2, -1)
    with pytest.MonkeyPatch.context() as patch:
        if checkpointed:
            patch.setattr(unrolled, "LARGE", 0)
        found = unroll(made, embedded, features[:, :-1], positions, steps)
    torch.testing.assert_close(found[0], made(embedded, features[:, :-1], positions))
    for row in range(2):
        for start in range(size - 1):
            reach = min(steps, size - 1 - start)
            expected = draft(made, tokens[row].tolist(), features[row], start, reach)
            for step in range(reach):
                torch.testing.assert_close(found[step][row, start], expected[step])


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_do_not_depend_on_memory(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = head(name, target(kind)).requires_grad_(True)
    embedded, features = torch.randn(2, 1, 6, 32, dtype=torch.float64)
    found = []
    for large in (2**30, 0):
        monkeypatch.setattr(unrolled, "LARGE", large)
        made.zero_grad()
        torch.stack(unroll(made, embedded, features, torch.arange(6)[None], 4)).square().sum().backward()
        found.append([parameter.grad for parameter in made.parameters() if parameter.grad is not None])
    torch.testing.assert_close(*found)
