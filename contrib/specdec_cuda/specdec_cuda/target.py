"""The target on a GPU, which decides there."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from specdec import Chance, Keyed, Rule
from specdec.errors import OptionError
from specdec.rules import Match, Rejection, Traversal
from specdec.target import Name, Target, load_model, load_tokenizer
from specdec_cuda.attention import MaskOnDevice
from specdec_cuda.chance import KeyedOnDevice
from specdec_cuda.coin_rules import RejectionOnDevice, TraversalOnDevice
from specdec_cuda.graphs import Graphs
from specdec_cuda.interpreter import runs_kernels
from specdec_cuda.kernels.move import move
from specdec_cuda.match import MatchOnDevice

RULES: dict[type[Rule], Callable[[], Rule]] = {
    Match: MatchOnDevice,
    Rejection: RejectionOnDevice,
    Traversal: TraversalOnDevice,
}
"""Rules that kernels decide by, in the place of the host's."""


class CudaTarget(Target):
    """A causal language model on a GPU of NVIDIA's or AMD's, whose kernels decide what of a tree it would have said.

    Text is `Target`'s on the same logits. Drafters on the GPU are given noise that is made there.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase | None = None,
        rule: Rule | None = None,
        chance: Chance | None = None,
        *,
        graphs: bool = False,
    ) -> None:
        """Use a loaded model as it is; kernels decide by `match`, `rejection` and `traversal`, the host by other rules.

        With `graphs`, passes that repeat are captured as CUDA graphs, by buckets of nodes and columns. A model whose
        operations depend on values cannot be: one with experts, or with rotary embeddings that vary with the length.

        Raises:
            OptionError: it is not on a GPU.
            UnsupportedModel: as `Target` says.
        """
        device = getattr(model, "device", None)
        if isinstance(device, torch.device) and not runs_kernels(device):
            raise OptionError(
                f"expected a model on a GPU for the verifier cuda, got one on {device}; the verifier local serves there"
            )
        super().__init__(
            model,
            tokenizer,
            MatchOnDevice() if rule is None else RULES.get(type(rule), lambda: rule)(),
            KeyedOnDevice() if chance is None or type(chance) is Keyed else chance,
            attention=MaskOnDevice(),
        )
        self.engine.cache.mover = move
        if graphs:
            Graphs.use(self.engine)

    @classmethod
    def from_pretrained(
        cls, name: Name, rule: Rule | None = None, *, graphs: bool = False, **options: Any
    ) -> "CudaTarget":
        """Load model and tokenizer onto the GPU, from a folder or the hub; `options` are those of `load_model`.

        Raises:
            OptionError: there is no GPU.
            ModelError: there is no such model, or no tokenizer with it.
            UnsupportedModel: it cannot verify trees.
        """
        model = load_model(name, **{"device": "cuda", **options})
        return cls(model, load_tokenizer(name), rule, graphs=graphs)
