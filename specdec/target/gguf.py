"""Models in GGUF files: converted once, into a folder that everything else reads as any other."""

import hashlib
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from specdec.errors import ModelError


def converted(file: Path) -> Path:
    """Give the folder of a GGUF file's model: weights in half precision, tokenizer, chat template and end tokens.

    It is made when it is first asked for, in the user's cache, under the file's name and the hash of what is in it.

    Raises:
        ModelError: there is no such file, transformers cannot read it, or half precision cannot hold its weights.
    """
    if not file.is_file():
        raise ModelError(f"expected a GGUF file, got {str(file)!r}, which is not there")
    if find_spec("gguf") is None or find_spec("platformdirs") is None:
        raise ModelError(f"expected what reads {file.name} to be installed, by pip install 'specdec-kit[gguf]'")
    from platformdirs import user_cache_path

    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    folder = user_cache_path("specdec") / "gguf" / f"{file.stem}-{digest[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as scratch:
            _convert(file, made := Path(scratch) / "model")
            try:
                made.rename(folder)
            except OSError:  # another process was faster
                if not folder.is_dir():
                    raise
    return folder


def _convert(file: Path, folder: Path) -> None:
    """Write a folder as `save_pretrained` does. Weights are rounded to half precision once, here."""
    bars = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()  # it takes a minute for each 100 MB
    try:
        source, name = os.fspath(file.parent), file.name
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
        read = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    except Exception as error:  # of any kind, where the file is damaged
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"expected a GGUF file that transformers reads, got {str(file)!r}: {reason}") from error
    finally:
        if not bars:
            logging.disable_progress_bar()
    config = type(read.config).from_dict(
        {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    weights = {key: _halved(key, weight, file) for key, weight in read.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.generation_config = read.generation_config
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _halved(name: str, weight: Tensor, file: Path) -> Tensor:
    """Round weights to half precision.

    Raises:
        ModelError: one is beyond what it has numbers for.
    """
    half = weight.half()
    if not half.isfinite().all():
        largest, given = torch.finfo(torch.float16).max, float(weight.abs().max())
        raise ModelError(
            f"expected weights up to {largest:g} in {str(file)!r}, for half precision, got {given:g} in {name}"
        )
    return half
