"""Dictionaries: sparse features of a site, trained, measured beside what they must beat, explained, and put to the test."""

from assay.dictionaries.activations import Activations
from assay.dictionaries.detection import feature_detection, feature_scores
from assay.dictionaries.dictionary import About, Dictionary
from assay.dictionaries.explaining import Explanation, explain
from assay.dictionaries.fitting import Fitted, fit
from assay.dictionaries.learning import train_dictionary
from assay.dictionaries.quality import dictionary_quality, summary
from assay.dictionaries.recipe import Recipe, Texts

__all__ = [
    "About",
    "Activations",
    "Dictionary",
    "dictionary_quality",
    "Explanation",
    "explain",
    "feature_detection",
    "feature_scores",
    "fit",
    "Fitted",
    "Recipe",
    "summary",
    "Texts",
    "train_dictionary",
]
