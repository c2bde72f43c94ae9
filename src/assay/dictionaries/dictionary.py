"""A dictionary: an overcomplete basis of one site, with how it was made; a folder that `edit.feature` reads.

dictionary.json          {activation, k, about: {...}}: the format of `assay.engine.dictionary`, and what made it
dictionary.safetensors   encoder, encoder_bias, decoder, decoder_bias; and of the training activations: mean, principal
                         (rows: principal components, as many as features fire on a token), frequency; the curve
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from assay.core.codec import canonical
from assay.core.errors import ExperimentError, InputError, StorageError
from assay.core.files import atomic_folder
from assay.dictionaries.recipe import Recipe
from assay.engine.dictionary import FeatureBasis, read_dictionary
from assay.experiments.record import Record

if TYPE_CHECKING:
    from assay.dictionaries.explaining import Explanation
    from assay.engine.model import Model

FORMAT = 1
SETTINGS, TENSORS = "dictionary.json", "dictionary.safetensors"


class About(Record):
    """How a dictionary was made."""

    version: int = FORMAT
    """Of this description."""
    site: str
    """Where it reads and writes."""
    skip: int = 0
    """How many tokens at the start of each piece of text it was not trained on, and does not replace."""
    context: int = 0
    """Tokens of a piece of text at most."""
    scale: float = 1.0
    """The factor by which activations were multiplied in training. The saved weights read activations as they are."""
    active: float = 0.0
    """How many features fired on a training token, on average."""
    weights: str = "trained"
    """Whether the model had its own weights, or those before training (then with which seed)."""
    model_fingerprint: str = ""
    """Hash of the model that it was trained on."""
    corpus: str = ""
    """The texts."""
    seed: int = 0
    """Of its training."""
    recipe: Recipe | None = None
    """How it was trained; nothing where that is not known."""
    facts: tuple[str, ...] = ()
    """What else to keep in mind."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Features of a site: an encoder, a decoder, and what they were trained on."""

    handed_on: ClassVar[bool] = True
    files: ClassVar[bool] = True

    basis: FeatureBasis
    about: About
    measured: dict[str, Tensor]
    """Of the training activations: `mean` [d], `principal` [rank, d], `frequency` [feature]; and the learning curve:
    `tokens`, `unexplained`, `dead` [point]."""

    def __len__(self) -> int:
        return len(self.basis.decoder)

    @property
    def site(self) -> str:
        """Where it reads and writes."""
        return self.about.site

    @property
    def facts(self) -> tuple[str, ...]:
        """How it was made, in sentences."""
        return self.about.facts

    def name(self, feature: int) -> str:
        """A feature's name: `L5.resid_post.F17`.

        Raises:
            InputError: there is no such feature.
        """
        if not 0 <= feature < len(self):
            raise InputError(f"feature {feature} is out of range: this dictionary has features 0-{len(self) - 1}.")
        return f"{self.site}.F{feature}"

    def number(self, name: str) -> int:
        """The feature of that name.

        Raises:
            InputError: it is no feature of this dictionary.
        """
        site, _, number = name.rpartition(".F")
        if site != self.site or not number.isdigit():
            raise InputError(f"{name!r} is no feature of this dictionary: expected a name such as {self.name(0)}.")
        self.name(int(number))
        return int(number)

    def encode(self, x: Float[Tensor, "*any d"]) -> Float[Tensor, "*any feature"]:
        """Feature activations."""
        return self.basis.encode(x)

    def reconstruct(self, x: Float[Tensor, "*any d"]) -> Float[Tensor, "*any d"]:
        """What the features make of activations."""
        return self.basis.decode(self.basis.encode(x))

    def explain(self, model: Model, data: Any = None, *, feature: int, **more: Any) -> Explanation:
        """What one feature does on texts; see `assay.dictionaries.explaining`."""
        from assay.dictionaries.explaining import explain  # which knows dictionaries itself

        return explain(model, self, feature, data=data, **more)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write its folder, whole or not at all."""
        settings = {"activation": self.basis.activation, "k": self.basis.k, "about": self.about.model_dump(mode="json")}
        tensors = {name: getattr(self.basis, name) for name in ("encoder", "encoder_bias", "decoder", "decoder_bias")}
        if self.basis.threshold is not None:
            tensors["threshold"] = self.basis.threshold
        with atomic_folder(folder) as temporary:
            (temporary / SETTINGS).write_text(canonical(settings) + "\n", encoding="utf-8")
            save_file(
                {n: each.detach().contiguous().clone() for n, each in (tensors | self.measured).items()},
                temporary / TENSORS,
            )
        read_dictionary.cache_clear()  # edits must not go on with what was there before
        return Path(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, site: str | None = None) -> Dictionary:
        """Read a folder. `site` says where it reads and writes, if the folder does not.

        Raises:
            StorageError: a file is missing or damaged, or the site is not known.
        """
        basis = read_dictionary(os.fspath(folder))
        about = _about(Path(folder), site)
        known = {"encoder", "encoder_bias", "decoder", "decoder_bias", "threshold"}
        tensors = load_file(Path(folder) / TENSORS)
        return cls(basis, about, {name: tensor for name, tensor in tensors.items() if name not in known})

    def to_dataset(self) -> xr.Dataset:
        """Numbers of its training: the curve over `tokens`, how often each `feature` fires, and three numbers of the whole."""
        curve = {
            name: ("tokens", self.measured[name].double().numpy())
            for name in ("unexplained", "dead")
            if name in self.measured
        }
        coords: dict[str, np.ndarray] = {"tokens": self.measured["tokens"].numpy()} if curve else {}
        found = xr.Dataset(curve, coords=coords)
        if "frequency" in self.measured:
            frequency = self.measured["frequency"].double().numpy()
            found["frequency"] = ("feature", frequency)
            found["dead_share"] = float((frequency == 0).mean())
        found["active"], found["scale"] = self.about.active, self.about.scale
        found.attrs = {"quantity": "share of the variance that is not explained in training", "facts": list(self.facts)}
        return found


def _about(folder: Path, site: str | None) -> About:
    try:
        told = json.loads((folder / SETTINGS).read_text(encoding="utf-8")).get("about")
        if told is None:
            if site is None:
                raise StorageError(f"{folder} does not say where its dictionary reads and writes: give site=.")
            return About(site=site)
        found = About.model_validate(told)
    except (OSError, ValueError, ExperimentError) as error:
        raise StorageError(
            f"{folder / SETTINGS} is damaged: {str(error).splitlines()[0]}. Train or copy it again."
        ) from None
    if found.version > FORMAT:
        raise StorageError(f"{folder} is from a newer assay: upgrade assay.")
    return found if site is None else found.model_copy(update={"site": site})
