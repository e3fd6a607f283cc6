"""From the last checkpoint of a run to a model folder: float16 weights, tokenizer, model card."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LlamaForCausalLM
from transformers.trainer_utils import get_last_checkpoint

from specdec_zoo import card, measure, tokenizer
from specdec_zoo.dataset import Blocks
from specdec_zoo.questions import read
from specdec_zoo.workspace import Workspace

STAGES = ("", "-unloop")


def export(workspace: Workspace, name: str, blocks: int | None = None, length: int = 512) -> measure.Quality:
    """Writes `models/<name>`; measures on `blocks` held-out blocks, or on all of them."""
    runs = [workspace.run(name + suffix) for suffix in STAGES]
    checkpoints = [last for run in runs if run.exists() and (last := get_last_checkpoint(str(run)))]
    if not checkpoints:
        raise FileNotFoundError(f"no checkpoint of {name} in {workspace.root}; train it first")
    folder = workspace.model(name)
    _save(checkpoints[-1], workspace, folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    record = workspace.corpus()
    quality = measure.quality(
        model,
        tokenizer.load(workspace.tokenizer),
        Blocks(workspace.data / "held_out.bin", length, limit=blocks),
        bytes_per_token=record["held_out"]["bytes"] / record["held_out"]["tokens"],
        prompts=read(workspace.prompts),
    )
    training = [_training(Path(checkpoint)) for checkpoint in checkpoints]
    parameters = model.num_parameters()
    text = card.write(name, model.config, parameters, record, training, quality)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return quality


def _save(checkpoint: str, workspace: Workspace, folder: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float16)
    end = model.config.eos_token_id
    model.generation_config = GenerationConfig(bos_token_id=end, eos_token_id=end, pad_token_id=end)
    model.save_pretrained(folder)
    model.config.dtype = torch.float32  # what the weights are loaded as by default: CPUs are slow in float16
    model.config.use_cache = True  # the Trainer turns it off
    model.config.save_pretrained(folder)
    tokenizer.load(workspace.tokenizer).save_pretrained(folder)


def _training(checkpoint: Path) -> card.Training:
    state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_text())
    clock = json.loads((checkpoint.parent / "clock.json").read_text())
    plan = json.loads((checkpoint.parent / "plan.json").read_text())
    steps = state["global_step"]
    return card.Training(
        stage=plan["stage"],
        steps=steps,
        tokens=steps * plan["batch"] * plan["block"],
        context=plan["block"],
        minutes=clock["seconds"] / 60,
    )
