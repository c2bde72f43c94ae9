"""Models with known circuits, and prompts that show them: what methods of localisation are scored against."""

from assay.training.planted.equality import equality_network, equality_pairs
from assay.training.planted.library import PROGRAMS, Program, compiled
from assay.training.planted.situation import Situation, Truth
from assay.training.planted.situations import NAMES, TRAINED, situation, situations
from assay.training.planted.trained import free_transformer

__all__ = [
    "NAMES",
    "PROGRAMS",
    "TRAINED",
    "Program",
    "Situation",
    "Truth",
    "compiled",
    "equality_network",
    "equality_pairs",
    "free_transformer",
    "situation",
    "situations",
]
