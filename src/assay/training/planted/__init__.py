"""Models with known circuits, and prompts that show them: what methods of localisation are scored against."""

from assay.training.planted.library import PROGRAMS, Program, compiled
from assay.training.planted.situation import Situation, Truth
from assay.training.planted.situations import NAMES, situation, situations

__all__ = ["NAMES", "PROGRAMS", "Program", "Situation", "Truth", "compiled", "situation", "situations"]
