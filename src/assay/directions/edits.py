"""What a direction does when it is put to use: edits that add it, or take it and its like out.

    Experiment(..., edits=[add(directions["L10.resid_post"], times=2.0, pos=-1)])

Adding one `step` raises the reading at that site by one (`times` readings); `units="vector"` adds the vector as it is, such as
a difference of means. Taking out removes the component in the span of all directions given, whatever their origins.
"""

from __future__ import annotations

from typing import Literal, Unpack

import numpy as np

from assay.core.direction import Direction, Directions
from assay.core.errors import DataError
from assay.experiments import edit
from assay.experiments.edit import Where
from assay.experiments.given_edits import Add, ProjectOut


def add(
    direction: Direction,
    *,
    times: float = 1.0,
    units: Literal["reading", "vector"] = "reading",
    **where: Unpack[Where],
) -> Add:
    """Add a direction at its site: so that its reading rises by `times`, or `times` its vector."""
    vector = direction.step if units == "reading" else direction.vector
    return edit.add(direction.site, np.asarray(vector, dtype=float), scale=times, **where)


def project_out(directions: Direction | Directions, **where: Unpack[Where]) -> ProjectOut:
    """Take the span of the directions out of their site.

    Raises:
        DataError: they are of several sites.
    """
    if isinstance(directions, Direction):
        site, rows = directions.site, directions.vector
    else:
        sites = tuple(dict.fromkeys(directions.sites))
        if len(sites) > 1:
            raise DataError(f"These directions are of {len(sites)} sites: take out one site's, with .at({sites[0]!r}).")
        site, rows = sites[0], directions.vectors
    return edit.project_out(site, np.asarray(rows, dtype=float), **where)
