"""The target on a GPU, which decides there."""

from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from specdec.chance import Chance, Keyed
from specdec.errors import OptionError
from specdec.interfaces import Rule
from specdec.rules import Match
from specdec.target import Target
from specdec_cuda.chance import KeyedOnDevice
from specdec_cuda.interpreter import interpreted
from specdec_cuda.rule import MatchOnDevice


class CudaTarget(Target):
    """A causal language model on a GPU of NVIDIA's or AMD's, whose kernels decide what of a tree it would have said.

    Text is `Target`'s, but for near-ties that another order of sums decides. Drafters on the GPU are given noise that is
    made there.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase | None = None,
        rule: Rule | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Use a loaded model as it is; `match` is decided by kernels, other rules on the host, as ever.

        Raises:
            OptionError: it is not on a GPU.
            UnsupportedModel: as `Target` says.
        """
        super().__init__(
            model,
            tokenizer,
            MatchOnDevice() if rule is None or type(rule) is Match else rule,
            KeyedOnDevice() if chance is None or type(chance) is Keyed else chance,
        )
        if self.engine.device.type != "cuda" and not interpreted():
            raise OptionError(
                f"expected a model on a GPU for the verifier cuda, got one on {self.engine.device}; "
                f"the verifier local decides there"
            )

    @classmethod
    def from_pretrained(cls, name: Any, rule: Rule | None = None, **options: Any) -> "CudaTarget":
        """Load model and tokenizer onto the GPU, from a folder or the hub; `options` are those of `load_model`.

        Raises:
            OptionError: there is no GPU.
            ModelError: there is no such model, or no tokenizer with it.
            UnsupportedModel: it cannot verify trees.
        """
        target = super().from_pretrained(name, rule, **{"device": "cuda", **options})
        return target  # type: ignore[return-value]
