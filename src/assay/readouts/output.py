"""From the last residual stream to logits: the model's own final norm and unembedding.

The norm is *frozen* when its scale is held at what it was in the run: then it is linear, and the logits are a sum over
whatever the residual stream is a sum of. Its gain and bias are found by asking the module itself: on alternating signs
v (mean 0, size 1) it gives `gain · v + bias`, whatever a family stores as its weight (Gemma's is gain − 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.errors import SiteError
from assay.engine.model import Model
from assay.models.taps import NormScale


@dataclass(frozen=True)
class Output:
    """A model's final norm and unembedding."""

    norm: nn.Module
    unembed: nn.Module
    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    centred: bool

    @classmethod
    def of(cls, model: Model) -> Output:
        """The output end of a model.

        Raises:
            SiteError: it has no final norm, or no unembedding, that could be found.
        """
        tap = model.site("final_norm_scale").tap
        embeddings = getattr(model.native, "get_output_embeddings", lambda: None)()
        if not isinstance(tap, NormScale) or embeddings is None:
            raise SiteError("this model's final norm or unembedding is not known, so nothing can be read through them.")
        norm = model.native.get_submodule(tap.port.module)
        signs = torch.ones(1, 1, model.d_model, device=model.device, dtype=model.dtype)
        signs[..., 1::2] = -1
        with torch.no_grad():
            plus, minus = norm(signs)[0, 0], norm(-signs)[0, 0]
        scale = (1 + tap.eps) ** 0.5
        return cls(norm, embeddings, (plus - minus) / 2 * signs[0, 0] * scale, (plus + minus) / 2, tap.centred)

    def logits(self, residual: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch vocab"]:
        """Logits as if this were the last residual stream."""
        with torch.no_grad():
            logits: Tensor = self.unembed(self.norm(residual[:, None]))[:, 0]
        return logits.float()

    def frozen(
        self, part: Float[Tensor, "batch *part d_model"], scale: Float[Tensor, "batch one"]
    ) -> Float[Tensor, "batch *part d_model"]:
        """A part of the residual stream through the norm with its scale held; the norm's bias is left out."""
        if self.centred:
            part = part - part.mean(-1, keepdim=True)
        shaped = scale.reshape(scale.shape[0], *[1] * (part.ndim - 1))
        return part / shaped * self.gain

    def direction(self, right: list[int], wrong: list[int]) -> Float[Tensor, "batch d_model"]:
        """What a unit step along each entry of the normed stream adds to the right logit minus the wrong one."""
        weight: Tensor = self.unembed.weight  # type: ignore[assignment]
        return (weight[right] - weight[wrong]).detach()

    def constant(self, right: list[int], wrong: list[int]) -> Float[Tensor, " batch"]:
        """What the biases of norm and unembedding add to the logit difference."""
        found = self.direction(right, wrong) @ self.bias
        bias = getattr(self.unembed, "bias", None)
        return found.detach() if bias is None else (found + bias[right] - bias[wrong]).detach()
