"""The drafters EAGLE, EAGLE-2 and EAGLE-3."""

from transformers import AutoConfig, AutoModel

from specdec_eagle.config import Eagle3Config, EagleConfig
from specdec_eagle.drafter import Eagle3Drafter, Eagle3Encoder, EagleDrafter
from specdec_eagle.model import EagleModel
from specdec_eagle.model3 import Eagle3Model

for _config, _model in ((EagleConfig, EagleModel), (Eagle3Config, Eagle3Model)):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)

__all__ = [
    "Eagle3Config",
    "Eagle3Drafter",
    "Eagle3Encoder",
    "Eagle3Model",
    "EagleConfig",
    "EagleDrafter",
    "EagleModel",
]
