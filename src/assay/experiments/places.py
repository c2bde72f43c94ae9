"""Whether the positions, heads, dims and examples that an edit, a capture or a metric names exist at its site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from assay.core.errors import AssayError, ExperimentError, InputError
from assay.core.sites import SiteName
from assay.experiments.experiment import Experiment
from assay.experiments.facts import Facts, SiteFacts, head_axis, position_axis
from assay.experiments.inputs import Input
from assay.experiments.positions import resolve, resolve_indices


@dataclass(frozen=True)
class Reader:
    """An input as a run reads it: its examples and the number of tokens of each."""

    name: str
    given: Input
    tokens: Sequence[Sequence[str]] | None

    @classmethod
    def of(cls, experiment: Experiment, run: str, facts: Facts) -> Reader:
        """The input of a run."""
        name = experiment.run(run).input
        return cls(name, experiment.inputs[name], facts.tokens(name))

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Tokens of each example, None if it has none."""
        return None if self.tokens is None else tuple(len(row) for row in self.tokens)

    def positions(self, pos: Any, example: int) -> list[int]:
        """The indices that `pos` means in one example; it must have tokens."""
        length = (self.lengths or ())[example]
        return resolve(pos, length=length, named=self.given.positions, example=example)


def on_prompt(site: SiteFacts, name: str) -> bool:
    """Whether the site's positions are the prompt's tokens: not those of an image or of an encoder beside it."""
    parsed = SiteName.parse(name)
    return position_axis(site) is not None and parsed.stack is None and parsed.native is None


def position_problems(what: str, pos: Any, reader: Reader, examples: Any = None) -> Iterator[AssayError]:
    """A position that some example's prompt does not have; the first such example is named."""
    if reader.lengths is None:
        return
    try:
        for example in resolve_indices(examples, size=reader.given.examples, axis="example"):
            reader.positions(pos, example)
    except InputError as error:
        yield InputError(f"{what}: {error}")


def site_position_problems(what: str, pos: Any, site: SiteFacts) -> Iterator[AssayError]:
    """A position at a site that has none."""
    if pos is not None and position_axis(site) is None:
        yield ExperimentError(f"{what}: this site has no positions, only {axes_text(site)}. Leave pos= out.")


def head_problems(what: str, head: Any, site: SiteFacts) -> Iterator[AssayError]:
    """A head at a site without heads, or one that is not there."""
    if head is None:
        return
    axis = head_axis(site)
    if axis is None:
        yield ExperimentError(
            f"{what}: head={head} at a site without heads: its axes are {axes_text(site)}. Leave head= out, or use a site that "
            "has heads, such as z, q, k, v, pattern or head_out."
        )
        return
    yield from _index_problems(what, head, site.sizes[axis], axis)


def dim_problems(what: str, dims: Any, site: SiteFacts) -> Iterator[AssayError]:
    """Entries of the last axis that are not there."""
    axis = site.axes[-1]
    if dims is not None and axis in site.sizes:
        yield from _index_problems(what, dims, site.sizes[axis], axis)


def example_problems(what: str, examples: Any, reader: Reader) -> Iterator[AssayError]:
    """Examples that the input does not have."""
    if examples is not None:
        yield from _index_problems(what, examples, reader.given.examples, "example")


def _index_problems(what: str, selection: Any, size: int, axis: str) -> Iterator[AssayError]:
    try:
        resolve_indices(selection, size=size, axis=axis)
    except InputError as error:
        yield InputError(f"{what}: {error}")


def axes_text(site: SiteFacts) -> str:
    """The axes of a site with their sizes, `[batch, pos, d_model 576]`."""
    shown = (f"{axis} {site.sizes[axis]}" if axis in site.sizes else axis for axis in site.axes)
    return f"[{', '.join(shown)}]"
