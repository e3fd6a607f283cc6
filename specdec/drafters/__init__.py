"""Drafters that need no training of their own."""

from specdec.drafters.ngram import Ngram
from specdec.drafters.none import NoDrafter
from specdec.drafters.retrieval import Retrieval
from specdec.drafters.small_model import SmallModel

__all__ = ["Ngram", "NoDrafter", "Retrieval", "SmallModel"]
