"""Whether the positions, heads, dims and examples that an edit, a capture or a metric names exist at its site.

Examples that cannot differ in the answer (those of one length, where no name is involved) are looked at once, so that
the cost does not grow with the number of examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.core.errors import AssayError, ExperimentError, InputError
from assay.core.sites import SiteName
from assay.experiments.edits import ANY_SITE, Edit
from assay.experiments.experiment import Experiment
from assay.experiments.facts import Facts, SiteFacts, head_axis, position_axis
from assay.experiments.inputs import Input
from assay.experiments.positions import Slice, resolve, resolve_indices


@dataclass(frozen=True)
class Reader:
    """An input as a run reads it: its examples and the number of tokens of each."""

    name: str
    given: Input
    lengths: Sequence[int] | None
    """Tokens of each example, None if it has none."""
    facts: Facts

    @classmethod
    def of(cls, experiment: Experiment, run: str, facts: Facts) -> Reader:
        """The input of a run."""
        name = experiment.run(run).input
        return cls(name, experiment.inputs[name], facts.lengths(name), facts)

    def tokens(self, example: int) -> Sequence[str]:
        """The tokens of one example as text, to be shown; it must have tokens."""
        return (self.facts.tokens(self.name) or ())[example]

    def positions(self, pos: Any, example: int) -> list[int]:
        """The indices that `pos` means in one example; it must have tokens."""
        length = (self.lengths or ())[example]
        return resolve(pos, length=length, named=self.given.positions, example=example)

    def beside(self, target: Reader, example: int) -> Reader:
        """This input as a source for one example of another: a name that it does not define is the other's index."""
        names = {name: indices[example] for name, indices in target.given.positions.items()}
        own = self.given.positions
        lent = {name: (at,) * self.given.examples for name, at in names.items() if name not in own}
        return self if not lent else replace(self, given=self.given.model_copy(update={"positions": {**lent, **own}}))

    def different(self, pos: Any, examples: Any = None) -> list[int]:
        """Those of `examples` in which `pos` may mean different positions: one of each length, all if it has names."""
        chosen = resolve_indices(examples, size=self.given.examples, axis="example")
        if self.lengths is None or has_name(pos):
            return chosen
        first = {self.lengths[example]: example for example in reversed(chosen)}
        return sorted(first.values())


def has_name(pos: Any) -> bool:
    """Whether a selection of positions mentions a name."""
    if isinstance(pos, Slice):
        return isinstance(pos.start, str) or isinstance(pos.stop, str)
    return any(isinstance(item, str) for item in (pos if isinstance(pos, tuple) else (pos,)))


def on_prompt(site: SiteFacts, name: str) -> bool:
    """Whether the site's positions are the prompt's tokens: not those of an image or of an encoder beside it."""
    parsed = SiteName.parse(name)
    return position_axis(site) is not None and parsed.stack is None and parsed.native is None


def position_problems(what: str, pos: Any, *, reader: Reader, examples: Any = None) -> Iterator[AssayError]:
    """A position that some example's prompt does not have; the first such example is named."""
    if reader.lengths is None or pos is None:
        return
    try:
        for example in reader.different(pos, examples):
            reader.positions(pos, example)
    except InputError as error:
        yield InputError(f"{what}: {error}")
        return
    yield from padding_problems(what, pos, reader=reader, examples=examples)


def padding_problems(what: str, pos: Any, *, reader: Reader, examples: Any = None) -> Iterator[AssayError]:
    """A position that is padding in some example of the model's own inputs; None is every position."""
    if (padded := reader.facts.padded(reader.name)) is None:
        return
    for example in resolve_indices(examples, size=reader.given.examples, axis="example"):
        if at := padded[example] & set(reader.positions(pos, example)):
            yield InputError(
                f"{what}: position {min(at)} of example {example} in {reader.name!r} is padding (its attention_mask is 0 "
                "there). Choose positions of the text, or give the prompts as texts or lists of token ids: those are "
                "never padded."
            )
            return


def ragged_problems(what: str, pos: Any, *, reader: Reader) -> Iterator[AssayError]:
    """A slice with a named bound that has other numbers of positions in prompts of one length."""
    if reader.lengths is None or not isinstance(pos, Slice) or not has_name(pos):
        return
    counts: dict[int, set[int]] = {}
    for example, length in enumerate(reader.lengths):
        try:
            counts.setdefault(length, set()).add(len(reader.positions(pos, example)))
        except InputError:
            return  # reported where the positions themselves are checked
    if several := next((found for found in counts.values() if len(found) > 1), None):
        yield InputError(
            f"{what}: pos={pos} selects {' or '.join(map(str, sorted(several)))} positions, depending on the example. Choose "
            "as many in all, or keep every position (pos=None) and select afterwards."
        )


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
    yield from _index_problems(what, head, size=site.sizes[axis], axis=axis)


def dim_problems(what: str, dims: Any, site: SiteFacts) -> Iterator[AssayError]:
    """Entries of the last axis that are not there."""
    axis = site.axes[-1]
    if dims is not None and axis in site.sizes:
        yield from _index_problems(what, dims, size=site.sizes[axis], axis=axis)


def example_problems(what: str, examples: Any, reader: Reader) -> Iterator[AssayError]:
    """Examples that the input does not have."""
    if examples is not None:
        yield from _index_problems(what, examples, size=reader.given.examples, axis="example")


def step_problems(what: str, edit: Edit, *, steps: int) -> Iterator[AssayError]:
    """Steps of a generation that there are not, in which the edit would do nothing."""
    if edit.step is None:
        return
    if isinstance(edit.step, Slice):
        bounds: Any = slice(edit.step.start, edit.step.stop, edit.step.step)
        chosen = list(range(steps)[bounds])
    else:
        chosen = [edit.step] if isinstance(edit.step, int) else list(edit.step)
    if not chosen or not all(0 <= step < steps for step in chosen):
        there = f"steps 0 … {steps - 1}: step k is the pass over the k-th new token, and the last one is not passed on"
        yield InputError(
            f"{what}: there is no such step. A plain run has step 0 alone, the prompt's own pass; later ones are those of "
            "model.generate. Leave step= out."
            if steps == 1
            else f"{what}: there is no such step. With max_new_tokens={steps} there are {there}."
        )
    elif edit.site != ANY_SITE and SiteName.parse(edit.site).stack == "enc" and 0 not in chosen:
        yield InputError(f"{what}: an encoder runs once, in step 0. Leave step= out, or take step 0.")
    elif edit.pos is not None and 0 not in chosen:
        yield InputError(
            f"{what}: pos counts in the prompt, which is step 0. Leave pos= out for later steps, or take step 0."
        )


def _index_problems(what: str, selection: Any, *, size: int, axis: str) -> Iterator[AssayError]:
    try:
        resolve_indices(selection, size=size, axis=axis)
    except InputError as error:
        yield InputError(f"{what}: {error}")


def axes_text(site: SiteFacts) -> str:
    """The axes of a site with their sizes, `[batch, pos, d_model 576]`."""
    shown = (f"{axis} {site.sizes[axis]}" if axis in site.sizes else axis for axis in site.axes)
    return f"[{', '.join(shown)}]"
