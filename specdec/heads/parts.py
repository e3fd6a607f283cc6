"""Parts of a target that its head uses: the embedding, the output head, and its last layers."""

from os import PathLike

import torch
from attrs import evolve, frozen
from jaxtyping import Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from specdec.errors import ModelError, OptionError, UnsupportedModel, WrongCheckpoint
from specdec.heads.files import read_named
from specdec.heads.layer import float_type
from specdec.interfaces import Verifier
from specdec.target.half import HalfPrecisionLinear
from specdec.target.loading import model_folder
from specdec.target.support import language_part, layer_types

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


@frozen(eq=False)
class TargetParts:
    """Embedding, output head, final norm, rotary embedding and the last N `layers`, shared and never trained."""

    config: PreTrainedConfig
    embed: nn.Module
    head: nn.Module
    norm: nn.Module
    rotary: nn.Module
    layers: tuple[nn.Module, ...] = ()

    @classmethod
    def of(cls, model: PreTrainedModel, layers: int = 0) -> "TargetParts":
        """Take the parts of a loaded model.

        Raises:
            UnsupportedModel: it is of a family that was never tried, or has no more layers than that.
        """
        config, base = model.config.get_text_config(), language_part(model)
        _check(config, layers)
        last = tuple(base.layers[config.num_hidden_layers - layers :])
        embed, head = model.get_input_embeddings(), model.get_output_embeddings()
        return cls(config, embed, head, base.norm, base.rotary_emb, last)

    @classmethod
    def read(cls, path: str | PathLike[str], layers: int = 0, device: str | torch.device = "cpu") -> "TargetParts":
        """Load the parts alone, from a folder or the hub.

        On a CPU half precision becomes float32, which it computes many times faster.

        Raises:
            UnsupportedModel: as `of` does; or it has other parts than language, whose names then differ.
            WrongCheckpoint: the files are damaged, lack a tensor, or are no safetensors.
            ModelError: there is no such model.
        """
        path = model_folder(path)
        whole = _read_whole_config(path)
        config: PreTrainedConfig = whole.get_text_config()
        _check(config, layers)
        if config is not whole:
            raise UnsupportedModel(f"expected a model of language alone in {path}, got a {whole.model_type}")
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        parts = cls.of(model, layers)
        tied = parts.head.weight is parts.embed.weight
        modules = [parts.embed, *parts.layers, parts.norm, *(() if tied else (parts.head,))]
        _fill({name: module for name, module in model.named_modules() if module in modules}, path, torch.device(device))
        if tied:
            parts.head.weight = parts.embed.weight
        with torch.device(device):
            return evolve(parts, rotary=type(parts.rotary)(config))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the target's weights, where they are not quantized."""
        return float_type(self.embed, float_type(self.norm, torch.float32))

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        device: torch.device = next(self.embed.parameters()).device
        return device

    @property
    def first(self) -> int:
        """The target's own number of the first of the last layers."""
        return int(self.config.num_hidden_layers) - len(self.layers)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """How far back each of the last layers sees; None is all the way."""
        sliding, kinds = getattr(self.config, "sliding_window", None), layer_types(self.config)
        return tuple(sliding if kind == "sliding_attention" else None for kind in kinds[self.first :])

    @torch.no_grad()
    def output_rows(self, tokens: Int[Tensor, " W"]) -> nn.Linear:
        """Copy the rows of the output head that score these tokens, in its own type or that of the weights."""
        if type(self.head) in (nn.Linear, HalfPrecisionLinear):
            weight = self.head.state_dict()["weight"]
        else:  # it may be quantized
            weight = self.head(torch.eye(int(self.config.hidden_size), dtype=self.dtype, device=self.device)).T
        rows = weight[tokens.to(weight.device)]
        with torch.device("meta"):
            layer = nn.Linear(rows.shape[1], rows.shape[0], bias=False)
        layer.weight = nn.Parameter(rows, requires_grad=False)
        return layer


def target_config(target: Verifier, path: str | PathLike[str] | None = None) -> PreTrainedConfig:
    """Give the configuration of a target on this machine, or read that of the model at `path`, else at its `files`.

    Raises:
        OptionError: the target is elsewhere, and there is neither a `path` nor `files`.
        ModelError: there is no model there.
    """
    path = path or target.files
    return _model(target).config.get_text_config() if path is None else _read_config(path)


def target_parts(
    target: Verifier, layers: int = 0, path: str | PathLike[str] | None = None, device: str | None = None
) -> TargetParts:
    """Take the parts of a target on this machine, or read them from `path`, else from its `files`, onto `device`.

    The device is by default a GPU if there is any.

    Raises:
        OptionError, ModelError: as `target_config` does.
        UnsupportedModel, WrongCheckpoint: as `TargetParts.read` does.
    """
    path = path or target.files
    if path is None:
        return TargetParts.of(_model(target), layers)
    return TargetParts.read(path, layers, device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _model(target: Verifier) -> PreTrainedModel:
    model = getattr(target, "model", None)
    if not isinstance(model, PreTrainedModel):
        raise OptionError(
            f"expected a target on this machine, or its `files` to read what a head needs of it, got {target!r}"
        )
    return model


def _check(target: PreTrainedConfig, layers: int) -> None:
    if target.model_type not in FAMILIES:
        raise UnsupportedModel(f"expected a target of {', '.join(FAMILIES)}, got {target.model_type}")
    if not 0 <= layers < target.num_hidden_layers:
        raise UnsupportedModel(
            f"expected target layer inference with 0 to {target.num_hidden_layers - 1} layers, got {layers}"
        )


def _read_config(path: str | PathLike[str]) -> PreTrainedConfig:
    config: PreTrainedConfig = _read_whole_config(path).get_text_config()
    return config


def _read_whole_config(path: str | PathLike[str]) -> PreTrainedConfig:
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(model_folder(path))
    except (OSError, ValueError) as error:
        raise ModelError(f"no model can be read from {str(path)!r}: {str(error).strip().splitlines()[0]}") from error
    return config


def _fill(modules: dict[str, nn.Module], path: str | PathLike[str], device: torch.device) -> None:
    """Give modules without storage their tensors, by their names in the model."""
    shapes = {
        f"{prefix}.{name}": tuple(tensor.shape)
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    tensors = read_named(path, shapes)
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise WrongCheckpoint(f"expected {name} in {path} to be {shape}, got {tuple(tensor.shape)}")
        half = device.type == "cpu" and tensor.dtype in (torch.float16, torch.bfloat16)
        tensors[name] = tensor.to(device, torch.float32 if half else tensor.dtype)
    for prefix, module in modules.items():
        module.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in module.state_dict()}, assign=True)
