"""How a sparse autoencoder is trained, as data: saved with the dictionary, so that it can be trained again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from assay.core.errors import SettingsError
from assay.experiments.record import Record

Kind = Literal["topk", "relu"]
Corpus = Literal["data", "stdlib", "topics", "docstrings", "licences"]
CORPUS = (
    "`data`: the texts that the method is given; else the name of a corpus that is on the machine (assay.data.corpus)"
)


class Texts(Record):
    """Which texts a dictionary is trained on, and which of their tokens."""

    corpus: Corpus = "data"
    """`data`: the texts that the method is given; else a corpus that is on the machine, but for every eighth document."""
    tokens: int = Field(default=200_000, ge=1)
    """How many tokens at most."""
    context: int = Field(default=128, ge=2)
    """Texts are cut into pieces of at most so many tokens."""
    skip: int = Field(default=1, ge=0)
    """Tokens at the start of each piece that are left out: in many models the first one is an attention sink, whose residual
    stream is a hundred times as long as the others'."""

    @model_validator(mode="after")
    def _something_is_left(self) -> Texts:
        if self.skip >= self.context:
            raise SettingsError(f"skip = {self.skip} leaves nothing of pieces of {self.context} tokens: skip fewer.")
        return self


class Recipe(Record):
    """A dictionary's size, what keeps it sparse, and how it is fitted."""

    activation: Kind = "topk"
    """`topk` keeps the k largest features of each token; `relu` is kept sparse by a penalty on activations."""
    features: int = Field(default=2048, ge=1)
    """Size of the dictionary."""
    k: int = Field(default=32, ge=1)
    """With `topk`: features of a token at most."""
    penalty: float = Field(default=5.0, ge=0)
    """With `relu`: what an activation of 1 costs, in units of a squared error of 1, at activations scaled to norm √d."""
    rate: float = Field(default=1e-3, gt=0)
    """Adam's learning rate after its warm-up; it falls to 0 over the last fifth."""
    batch: int = Field(default=1024, ge=1)
    """Tokens in one step."""
    epochs: int = Field(default=4, ge=1)
    """How often each token is seen."""
    dead_after: int = Field(default=25_000, ge=1)
    """A feature that has not fired on so many tokens counts as dead, and is trained to explain what the others miss."""
    revival: float = Field(default=1 / 32, ge=0)
    """Weight of that auxiliary loss; 0 leaves dead features dead."""
    centre: Literal["median", "mean"] = "median"
    """Where the decoder's bias starts: the geometric median of activations, or their mean."""

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.activation == "topk" and self.k > self.features:
            raise SettingsError(
                f"k = {self.k} of {self.features} features: expected at most as many as there are. Ask for fewer, or more."
            )
        return self
