"""A result: labelled arrays with where they come from and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import xarray

from assay.core.errors import ExperimentError, nearest
from assay.core.provenance import Cost, Provenance


@dataclass(frozen=True)
class Result:
    """Arrays by name, with provenance and cost. `result["logit_diff"]` is an `xarray.DataArray`."""

    data: xarray.Dataset
    provenance: Provenance
    cost: Cost

    def __getitem__(self, name: str) -> xarray.DataArray:
        if name not in self.data:
            known = [str(n) for n in self.data.data_vars]
            raise ExperimentError(f"{name!r} is not in this result: it has {', '.join(known)}.{nearest(name, known)}")
        return self.data[name]
