"""Padded batches: with a mask over the padding, every site has the values that it has without any.

assay itself never pads (it groups examples by length); this is for inputs that a user brings. Left padding comes with
position ids where the model takes them. Where the native model's own outputs change under padding, nothing can be said
of its sites; the result names that, and begins with `native:`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tests.conformance.subject import Subject, differs, main_output, natively
from torch import Tensor
from torch.nn import functional as F

from assay.engine.passes import Kept, forward
from assay.models.codebooks import codebooks
from assay.models.structure import Site

PADS = 3
TEXT = {"input_ids"}, {"input_ids", "decoder_input_ids"}
REFUSES = "native: cannot run a padded batch"
SILENT = "native: takes no mask"
CHANGES = "native: padding changes its outputs"


def left_padding(subject: Subject) -> str | None:
    """Padding before the text."""
    return _padded(subject, Side(PADS, 0))


def right_padding(subject: Subject) -> str | None:
    """Padding after the text."""
    return _padded(subject, Side(0, PADS))


@dataclass(frozen=True)
class Side:
    """Padding before and after."""

    before: int
    after: int

    def inputs(self, subject: Subject) -> dict[str, Any]:
        ids = subject.inputs["input_ids"]
        padded = {**subject.inputs, "input_ids": F.pad(ids, (self.before, self.after), value=int(ids.flatten()[0]))}
        seen = torch.ones_like(ids if ids.ndim == 2 else ids[:, 0])
        padded["attention_mask"] = F.pad(seen, (self.before, self.after))
        if self.before and subject.network.takes("position_ids"):
            places = torch.arange(-self.before, ids.shape[-1]).clamp_min(0)
            padded["position_ids"] = places.expand(len(ids), -1)
        return padded

    def cut(self, value: Tensor, axes: Iterable[str], length: int, times: int = 1) -> Tensor:
        """Only what belongs to the text, on every axis that runs over it, once or for each of several codebooks."""
        whole = length + self.before + self.after
        for axis, name in enumerate(axes):
            if name in ("pos", "query", "key") and value.shape[axis] in (whole, times * whole):
                value = value.unflatten(axis, (-1, whole)).narrow(axis + 1, self.before, length).flatten(axis, axis + 1)
        return value


def _padded(subject: Subject, side: Side) -> str | None:
    if set(subject.inputs) not in TEXT:
        return "–"
    if not subject.network.takes("attention_mask"):
        return SILENT
    length = subject.inputs["input_ids"].shape[-1]
    inputs = side.inputs(subject)
    native = natively(subject, inputs)
    if native is None:
        return REFUSES
    output, plain = side.cut(main_output(native), ("batch", "pos"), length), main_output(subject.kept.native)
    if output.shape != plain.shape or differs(output, plain) is not None:
        return CHANGES
    kept = forward(subject.network, inputs, keep=subject.sites.values())
    wrong = [site for site in subject.sites.values() if _wrong(subject, site, kept, side, length)]
    return ", ".join(dict.fromkeys(str(site.name.at(None)) for site in wrong)) or None


def _wrong(subject: Subject, site: Site, kept: Kept, side: Side, length: int) -> bool:
    found = side.cut(kept.sites[site], site.axes, length, codebooks(subject.native))
    wanted = subject.kept.sites[site]
    return differs(*visible(found, wanted)) is not None


def visible(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Without the scores of keys that a query does not see: any very negative number will do for those."""
    if found.shape != wanted.shape:
        return found, wanted
    hidden = (found < -1e6) & (wanted < -1e6)
    return found.masked_fill(hidden, 0.0), wanted.masked_fill(hidden, 0.0)


def text_inputs(inputs: Mapping[str, Any]) -> bool:
    """Whether a model is given tokens only."""
    return set(inputs) == {"input_ids"}
