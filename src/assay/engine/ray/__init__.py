"""One experiment over a Ray cluster: `model.measure(experiment, engine="ray")`."""

from assay.engine.ray.cluster import Ray

__all__ = ["Ray"]
