"""What the heads learn, against plain loops, transformers' own schedule, and a text learnt by heart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import specdec_medusa
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from specdec_medusa import Cosine, MedusaMethod, method
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import get_cosine_schedule_with_warmup

from specdec import Decoder, Needs, Stop, Target, load_drafter
from specdec.errors import OptionError
from specdec.policies import Chain
from specdec.testing import toy_model
from specdec.training import Batch, Example, Examples, Progress, Teacher, TeacherBatch, collate, load_method
from specdec.training.trainer import HeadTrainer, Plan

USUAL = (("logging_steps", 1), ("report_to", "none"), ("use_cpu", True), ("disable_tqdm", True))


def taught(marks: list[list[bool]]) -> TeacherBatch:
    """Texts of such lengths, of which the marked tokens are learnt from."""
    texts = [Example(np.arange(5, 5 + 3 * len(mark), 3) % 16, np.array(mark)) for mark in marks]
    batch: Batch = collate(list(enumerate(texts)))["batch"]
    return Teacher(toy_model(), Needs()).read(batch)


def looped(made: MedusaMethod, read: TeacherBatch, head: int) -> Tensor:
    """The mean over tokens that are learnt from, one by one."""
    output = made.head.outputs[head] if made.head.config.own_output else toy_model().lm_head
    losses = []
    for row, column in read.texts.response.nonzero().tolist():
        if (before := column - head - 2) >= 0:
            state = read.last[row, before]
            mixed = made.head.blocks[head].weight @ state
            logits = output.weight @ (state + mixed * mixed.sigmoid())
            losses.append(cross_entropy(logits, read.texts.tokens[row, column]))
    return torch.stack(losses).mean() if losses else torch.zeros(())


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=3))
@settings(max_examples=25)
def test_each_head_learns_the_token_at_its_place(marks: list[list[bool]]) -> None:
    torch.manual_seed(2)
    made = method(toy_model(), heads=3, own_output=len(marks) > 1).double()
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    read = taught(marks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specdec_medusa, "CHUNK", 2)
        losses = made(read, Progress(0, 1))
    losses["loss"].backward()  # even where there is nothing to learn
    for head in range(3):
        assert losses[f"head_{head + 1}"].item() == pytest.approx(looped(made, read, head).item(), rel=1e-5)
    weighted = sum(0.8**k * losses[f"head_{k}"].item() for k in (1, 2, 3))
    assert losses["loss"].item() == pytest.approx(weighted, rel=1e-5)


def test_begins_as_the_targets_own_head() -> None:
    model, states = toy_model(), torch.randn(5, 32, dtype=torch.float64)
    made = method(model, heads=2).double().head(states, None)
    assert torch.allclose(made, model.lm_head(states)[:, None].expand(-1, 2, -1).double())


def test_the_rate_is_that_of_transformers() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
    theirs = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=40, num_training_steps=300)
    ours = Cosine(peak=1e-3, base=0.0, warmup=40)
    for step in range(320):
        expected = theirs.get_last_lr()[0] if step <= 300 else 0.0
        assert ours.rate(step, 150, 300) == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        theirs.step()


def test_at_least_one_head() -> None:
    with pytest.raises(OptionError, match="at least one head, got 0"):
        load_method("medusa", toy_model(), heads=0)


def learn(output: Path, texts: list[list[int]], steps: int, **options: Any) -> HeadTrainer:
    model = toy_model().float()
    examples = Examples([Example(np.array(text), np.ones(len(text), dtype=bool)) for text in texts])
    made = load_method("medusa", model, **options)
    made.recipe = evolve(made.recipe, schedule=Cosine(peak=1e-2, base=0.0, warmup=10))  # a toy takes larger steps
    trainer = HeadTrainer(made, model, examples, Plan(str(output), batch=2, max_steps=steps, options=USUAL))
    trainer.run()
    return trainer


@pytest.mark.parametrize("own_output", [True, False])
def test_a_text_learnt_by_heart_is_drafted_to_the_last_head(tmp_path: Path, own_output: bool) -> None:
    """The target's own greedy text, which does not loop within: any token out of place would break the chain."""
    model = toy_model().float()
    prompt = [3, 1, 4, 1]
    text = model.generate(torch.tensor([prompt]), max_new_tokens=40, do_sample=False)[0].tolist()
    trainer = learn(tmp_path, [text], steps=150, own_output=own_output)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.2 * losses[0]
    assert all(
        torch.equal(one, other) for one, other in zip(model.parameters(), toy_model().float().parameters(), strict=True)
    )

    target = Target(model)
    drafter = load_drafter("medusa", str(tmp_path), target)
    said = Decoder(drafter, target, Chain(4)).generate([prompt], stop=Stop(40, tokens=()))
    assert [*prompt, *said.tokens[0]] == text
    assert said.metrics.acceptance_length > 4.4  # five is all that four heads can do


def test_only_the_heads_are_saved_in_training(tmp_path: Path) -> None:
    trainer = learn(tmp_path, [[1, 2, 3, 4, 5, 6]], steps=1, heads=2, own_output=False)
    assert set(trainer.method.state_dict()) == {"head.blocks.0.weight", "head.blocks.1.weight"}
