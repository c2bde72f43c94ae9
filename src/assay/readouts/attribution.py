"""Direct logit attribution: what each part itself adds to the logit difference, at the last position.

The last residual stream is a sum: embeddings, every head, every MLP. With the final norm's scale held at what it was in
the run, the logit difference is a sum over the same parts:

    m = Σ_parts (gain ⊙ part / scale) · (U[right] − U[wrong]) + constant

That the parts really add up to the model's logit difference is checked on every example: the completeness gap is the
largest difference. What a part adds directly says nothing about what it does through later parts.

Cost: one forward pass of all examples, keeping each head's output. Sources: Elhage et al. 2021, "A mathematical
framework for transformer circuits"; Wang et al. 2022, arXiv:2211.00593.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.protocols import Scores, head_name
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.engine.run_result import RunResult
from assay.experiments import capture
from assay.experiments.captures import Capture
from assay.readouts.batches import batches
from assay.readouts.output import Output

SMALLEST_REST = 1e-4
"""Below this share of the attention output, what the heads leave unexplained is rounding, not a part of its own."""


@method(
    gives=Scores,
    cites=("arXiv:2211.00593", "Elhage et al. 2021, transformer-circuits.pub/2021/framework"),
    cost="one forward pass of all examples",
    assumes="a residual stream that is a plain sum of its parts up to the final norm",
    fails_when="a part acts through later parts: its own share is then small, whatever its importance",
)
def direct_logit_attribution(model: Model, pairs: Pairs) -> Scores:
    """Who writes the answer: each part's own share of the logit difference, with the final norm's scale held."""
    output = Output.of(model)
    tables: list[dict[str, np.ndarray]] = []
    gaps, constants = [], []
    for part, run in batches(model, pairs, capture=_captures(model)):
        right, wrong = part.answer_ids.tolist(), part.wrong_ids.tolist()
        direction, scale = output.direction(right, wrong), run["final_norm_scale"][:, 0]
        shares = {name: (output.frozen(each, scale) * direction).sum(-1) for name, each in _parts(model, run).items()}
        constant = output.constant(right, wrong)
        total = torch.stack(list(shares.values())).sum(0) + constant
        gaps.append(float((total - run.metrics["logit_diff"]).abs().max()))
        constants.append(constant)
        tables.append({name: each.float().cpu().numpy() for name, each in shares.items()})
    rows = _joined(tables)
    return Scores.over_examples(
        list(rows),
        np.stack(list(rows.values())),
        "direct share of the logit difference",
        [
            f"completeness gap: parts and biases (mean {float(torch.cat(constants).mean()):.3g}) add up to the logit "
            f"difference within {max(gaps):.2g} on each of {len(pairs)} prompts",
            "the final norm's scale is held at its value in the run",
        ],
    )


def _captures(model: Model) -> list[Capture]:
    sites = ("embed", "pos_embed", "head_out", "attn_out", "mlp_out", "final_norm_scale")
    return [capture.site(site, pos=-1) for site in sites if model.why_not(site) is None]


def _parts(model: Model, run: RunResult) -> dict[str, Float[Tensor, "batch d_model"]]:
    """Everything that is added into the last residual stream, at the last position."""
    parts = {name: run[name][:, 0] for name in ("embed", "pos_embed") if name in run.captured}
    for layer in range(model.n_layers):
        if f"L{layer}.attn_out" in run.captured:
            parts |= _attention(run, layer)
        if f"L{layer}.mlp_out" in run.captured:
            parts[f"L{layer}.mlp"] = run[f"L{layer}.mlp_out"][:, 0]
        if (number := model.network.multiplier(layer)) is not None:  # of all that was written so far
            parts = {name: each * number.to(each) for name, each in parts.items()}
    return parts


def _attention(run: RunResult, layer: int) -> dict[str, Float[Tensor, "batch d_model"]]:
    """A layer's heads, and what of its attention output they leave (a bias, a norm after attention), if anything."""
    whole = run[f"L{layer}.attn_out"][:, 0]
    if f"L{layer}.head_out" not in run.captured:
        return {f"L{layer}.attn": whole}
    heads = run[f"L{layer}.head_out"][:, 0]
    parts = {head_name(layer, head): heads[:, head] for head in range(heads.shape[1])}
    rest = whole - heads.sum(1)
    if float(rest.norm()) > SMALLEST_REST * float(whole.norm()):
        parts[f"L{layer}.attn_rest"] = rest
    return parts


def _joined(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Batches side by side; a part that only some batches have is 0 in the others."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    sizes = [len(next(iter(table.values()))) for table in tables]
    return {
        name: np.concatenate([table.get(name, np.zeros(n)) for table, n in zip(tables, sizes, strict=True)])
        for name in names
    }
