"""What a model has at some sites for each prompt, at one token of it. One forward pass of all prompts.

The token is always named: at the first token of many models a few coordinates are hundreds of times larger than anywhere else
(an attention sink), so an average over positions would be that token's.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from assay.core.errors import SettingsError
from assay.core.progress import report
from assay.directions.labels import Prompts
from assay.engine.model import Model
from assay.experiments import capture
from assay.experiments.inputs import as_input
from assay.models.structure import Site

BATCH = 32
READ = "read"


def sites_of(model: Model, name: str) -> list[Site]:
    """The sites that a name means, in forward order: all layers' where it names none.

    Raises:
        SettingsError: a site that has no vector for each token.
    """
    found = list(model.network.sites_named(name))
    for site in found:
        if len(site.axes) != 3 or site.axes[1] != "pos":
            raise SettingsError(
                f"{site} has the axes {', '.join(site.axes)}: expected one vector for each token, as resid_post has."
            )
    return found


def activations(model: Model, prompts: Prompts, sites: list[str]) -> Float[np.ndarray, "site prompt d"]:
    """The vectors at each site, in double precision."""
    parts = []
    for start in range(0, len(prompts.tokens), BATCH):
        rows = slice(start, start + BATCH)
        batch = as_input([list(tokens) for tokens in prompts.tokens[rows]], positions={READ: prompts.at[rows]})
        run = model.run(batch, capture=[capture.site(site, pos=READ) for site in sites])
        parts.append(np.stack([run[site][:, 0].double().cpu().numpy() for site in sites]))
        report(min(start + BATCH, len(prompts.tokens)), len(prompts.tokens))
    return np.concatenate(parts, axis=1)
