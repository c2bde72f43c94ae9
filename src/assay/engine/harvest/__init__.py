"""Activations of a corpus, streamed: what `model.harvest` runs and gives."""

from assay.engine.harvest.kept import Harvest
from assay.engine.harvest.rules import MoreRules, Rules
from assay.engine.harvest.statistics import SiteStatistics
from assay.engine.harvest.stream import harvest

__all__ = ["harvest", "Harvest", "Rules", "MoreRules", "SiteStatistics"]
