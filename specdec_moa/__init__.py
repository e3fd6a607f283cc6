"""The drafter of "Mixture of Attentions For Speculative Decoding" (arXiv 2410.03804)."""

from transformers import AutoConfig, AutoModel

from specdec_moa.config import MoAConfig
from specdec_moa.drafter import MoADrafter
from specdec_moa.encoder import MoAEncoder
from specdec_moa.model import MoAModel

AutoConfig.register(MoAConfig.model_type, MoAConfig, exist_ok=True)
AutoModel.register(MoAConfig, MoAModel, exist_ok=True)

__all__ = ["MoAConfig", "MoADrafter", "MoAEncoder", "MoAModel"]
