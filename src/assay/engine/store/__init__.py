"""Results on disk by the hash of what made them: nothing is computed twice, and nothing that is finished is lost."""

from assay.engine.store.notices import StoreWarning
from assay.engine.store.store import Store

__all__ = ["Store", "StoreWarning"]
