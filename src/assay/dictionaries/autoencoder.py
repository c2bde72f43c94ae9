"""A sparse autoencoder while it is trained: encode, decode, and the loss that revives dead features.

    pre = (x − b_dec) · E + b_enc           a = the k largest of relu(pre), or relu(pre)
    x̂   = a · D + b_dec                     rows of D have length 1

Dead features (those that have not fired for long) explain what the others miss: the auxiliary loss reconstructs the error
x − x̂ from the dead features with the largest pre-activations (Gao et al. 2024, arXiv:2406.04093, section 2.4 and A.2).
With `topk` the decoder reads k rows for each token, not all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from assay.core.seeds import generator
from assay.dictionaries.recipe import Recipe
from assay.engine.dictionary import FeatureBasis

Rows = Float[Tensor, "token d"]


@dataclass
class Autoencoder:
    """Weights under training."""

    recipe: Recipe
    encoder: Float[Tensor, "d feature"]
    encoder_bias: Float[Tensor, " feature"]
    decoder: Float[Tensor, "feature d"]
    decoder_bias: Float[Tensor, " d"]

    @classmethod
    def start(cls, recipe: Recipe, centre: Float[Tensor, " d"], *, seed: int) -> Autoencoder:
        """First weights: random decoder rows of length 1, the encoder their transpose."""
        drawn = torch.randn(recipe.features, len(centre), generator=generator(seed, "decoder"))
        rows = drawn / drawn.norm(dim=-1, keepdim=True)
        made = cls(recipe, rows.T.contiguous(), torch.zeros(recipe.features), rows.clone(), centre.clone())
        for weight in made.weights:
            weight.requires_grad_()
        return made

    @property
    def weights(self) -> list[Tensor]:
        """All of them."""
        return [self.encoder, self.encoder_bias, self.decoder, self.decoder_bias]

    def pre(self, x: Rows) -> Float[Tensor, "token feature"]:
        """Before the activation function."""
        return (x - self.decoder_bias) @ self.encoder + self.encoder_bias

    def loss(self, x: Rows, dead: Bool[Tensor, " feature"]) -> tuple[Tensor, Rows, Bool[Tensor, " feature"]]:
        """The loss in units of the activations' variance, what is missed of each token, and which features fired."""
        pre = self.pre(x)
        if self.recipe.activation == "topk":
            top = pre.topk(self.recipe.k, dim=-1, sorted=False)
            values = top.values.relu()
            rebuilt = functional.embedding_bag(top.indices, self.decoder, per_sample_weights=values, mode="sum")
            fired = torch.zeros_like(dead).index_fill(0, top.indices[values > 0], True)
            cost = x.new_zeros(())
        else:
            active = pre.relu()
            rebuilt, fired = active @ self.decoder, (active > 0).any(0)
            cost = self.recipe.penalty * active.sum(-1).mean()
        missed = x - rebuilt - self.decoder_bias
        spread = (x - x.mean(0)).pow(2).sum(-1).mean().clamp_min(1e-12)
        total = (missed.pow(2).sum(-1).mean() + cost) / spread
        return total + self.recipe.revival * self._revived(pre, missed.detach(), dead), missed.detach(), fired

    def _revived(self, pre: Tensor, missed: Rows, dead: Bool[Tensor, " feature"]) -> Tensor:
        """How much of the error dead features leave, in units of its own size: 1 where they explain nothing."""
        count = min(int(dead.sum()), max(1, missed.shape[1] // 2))
        if not count or not self.recipe.revival:
            return pre.new_zeros(())
        top = pre[:, dead].topk(count, dim=-1, sorted=False)
        active = torch.zeros_like(pre[:, dead]).scatter(-1, top.indices, top.values.relu())
        left = missed - active @ self.decoder[dead]
        return left.pow(2).sum(-1).mean() / missed.pow(2).sum(-1).mean().clamp_min(1e-12)

    def keep_rows_on_the_sphere(self) -> None:
        """Take out of the gradient what would change the rows' length; `renormalise` mends what is left of it."""
        assert self.decoder.grad is not None  # after a backward pass
        along = (self.decoder.grad * self.decoder).sum(-1, keepdim=True)
        self.decoder.grad -= along * self.decoder

    @torch.no_grad()
    def renormalise(self) -> None:
        """Decoder rows to length 1."""
        self.decoder /= self.decoder.norm(dim=-1, keepdim=True).clamp_min(1e-12)

    @torch.no_grad()
    def basis(self, scale: float) -> FeatureBasis:
        """As a dictionary of activations that are not scaled: both activation functions scale along, so biases alone change."""
        rows = self.decoder.detach().clone()
        k = self.recipe.k if self.recipe.activation == "topk" else None
        encoder_bias, decoder_bias = self.encoder_bias.detach() / scale, self.decoder_bias.detach() / scale
        encoder = self.encoder.detach().clone()
        return FeatureBasis(encoder, encoder_bias, rows, decoder_bias, self.recipe.activation, None, k)
