"""An alignment: which part of which place stands for a variable. Data, and an edit that anything can run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field

from assay.circuits.abstraction.spaces import Settled
from assay.core.attachments import CONTEXT_KEY, Attachment, attachments_in, pack, unpack
from assay.core.codec import parse, pretty
from assay.core.errors import StorageError
from assay.core.files import write_bytes, write_text
from assay.experiments import edit
from assay.experiments.edits import Edit, Site
from assay.experiments.positions import Indices, Pos
from assay.experiments.record import Record
from assay.experiments.sourced_edits import Patch, Swap, SwapFeatures

FORMAT = 1


class Alignment(Record):
    """Where a variable is: a place, and a subspace, coordinates or features of it; with none of these, all of it."""

    handed_on: ClassVar[bool] = True

    format: int = Field(default=FORMAT, ge=1)
    """The version of the format."""
    variable: str
    """The variable of the causal model."""
    method: str
    """How it was found."""
    site: Site
    """The site."""
    pos: Pos = None
    """The positions; None is all."""
    head: Indices = None
    """The heads, at a site that has heads; None is all."""
    basis: Attachment | None = None
    """Orthonormal columns that span the subspace, `[d, k]`."""
    dims: tuple[int, ...] | None = None
    """The coordinates."""
    dictionary: str | None = None
    """The dictionary whose features are meant."""
    features: tuple[int, ...] | None = None
    """The features."""
    facts: tuple[str, ...] = ()
    """How it was found, and how well it did."""

    @classmethod
    def of(cls, settled: Settled, place: Patch, *, variable: str, method: str, **more: Any) -> Self:
        """What a search settled on, at its place."""
        where = {"site": place.site, "pos": place.pos, "head": place.head}
        basis = settled.basis if settled.basis is not None and settled.basis.shape[1] else None
        dims = () if settled.basis is not None and basis is None else settled.dims
        return cls(variable=variable, method=method, **where, basis=basis, dims=dims, features=settled.features, **more)

    @property
    def width(self) -> int | None:
        """How many dimensions, coordinates or features; None for everything."""
        if self.basis is not None:
            return self.basis.shape[1] if len(self.basis.shape) > 1 else 1
        found = self.features if self.features is not None else self.dims
        return None if found is None else len(found)

    def edits(self, source: str = "source") -> tuple[Edit, ...]:
        """The interchange as edits: give the run that they are in the variable's value in the run `source`."""
        where: dict[str, Any] = {"pos": self.pos, "head": self.head}
        if self.width == 0:
            return ()
        if self.basis is not None:
            return (Swap(site=self.site, source=source, basis=self.basis, **where),)
        if self.features is not None:
            named = {"dictionary": self.dictionary or "", "features": self.features}
            return (SwapFeatures(site=self.site, source=source, **named, **where),)
        return (edit.patch(self.site, source=source, dims=self.dims, **where),)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write JSON to `path` and the basis to `<path>.safetensors`, each whole or not at all."""
        target, attachments = Path(path), attachments_in(self)
        if attachments:
            write_bytes(_beside(target), pack(attachments))
        write_text(target, pretty(self.model_dump(mode="json")))
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            StorageError: a file is missing or damaged, or from a newer assay.
        """
        source = Path(path)
        try:
            text = source.read_bytes()
            beside = _beside(source).read_bytes() if _beside(source).exists() else None
        except OSError as error:
            raise StorageError(f"cannot read the alignment {source}: {error.strerror or error}.") from error
        tensors = {} if beside is None else unpack(beside, what=_beside(source).name)
        data = parse(text, what=f"the alignment {source}")
        found = data.get("format", FORMAT) if isinstance(data, dict) else None
        if not isinstance(found, int) or found > FORMAT:
            raise StorageError(
                f"{source}: not an alignment of a format up to {FORMAT}: upgrade assay, or check the file."
            )
        return cls.model_validate(data, context={CONTEXT_KEY: tensors})


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".safetensors")
