"""The part of an EAGLE-3 head that runs beside the target."""

from attrs import frozen
from jaxtyping import Float
from torch import Tensor

from specdec.errors import OptionError
from specdec.features import Encoder, Features
from specdec_eagle.model3 import Eagle3Model


@frozen(eq=False)
class Eagle3Encoder(Encoder):
    """Mixes the target's states at three depths into one vector of a token: a third of what would cross over."""

    model: Eagle3Model

    def encode(self, features: Features) -> Float[Tensor, "B K E"]:
        if features.hidden is None:
            raise OptionError("expected the target's hidden states, got none")
        return self.model.mix(features.hidden)
