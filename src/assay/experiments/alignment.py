"""Whether prompts line up, where a value goes from a position of one prompt to a position of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from assay.core.errors import AssayError, InputError, ShapeError
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.facts import Facts, SiteFacts
from assay.experiments.places import Reader, axes_text, has_name
from assay.experiments.positions import Slice, resolve_indices
from assay.experiments.sourced_edits import Mean, Patch, Resample


def source_problems(
    edit: Edit, sites: Sequence[SiteFacts], *, run: str, experiment: Experiment, facts: Facts
) -> Iterator[AssayError]:
    """An edit whose source does not line up with the run that it changes."""
    if edit.source_run is None:
        return
    target, source = Reader.of(experiment, run, facts), Reader.of(experiment, edit.source_run, facts)
    if isinstance(edit, Mean):
        yield from _mean_problems(edit, target, source)
        return
    if counts := list(count_problems(str(edit), target, source)):
        yield from counts
        return
    if isinstance(edit, Patch) and edit.source_site is not None:
        yield from _site_problems(edit, sites, facts)
    if isinstance(edit, Resample):
        yield from _resample_problems(edit, source)
    source_pos = edit.source_pos if isinstance(edit, Patch) else None
    if source_pos is None and (edit.pos is None or isinstance(edit.pos, Slice)):
        yield from length_problems(str(edit), target, source)
    else:
        yield from _place_problems(edit, target, source)


def count_problems(what: str, target: Reader, source: Reader) -> Iterator[AssayError]:
    """Numbers of examples that cannot be matched one to one; a single example stands for all."""
    here, there = target.given.examples, source.given.examples
    if here != there and 1 not in (here, there):
        yield InputError(
            f"{what}: {target.name!r} has {here} examples and {source.name!r} {there}. Expected as many in both, or one."
        )


def length_problems(what: str, target: Reader, source: Reader) -> Iterator[AssayError]:
    """Prompts of different length; both tokenisations of the first are shown, marked where they part."""
    if target.lengths is None or source.lengths is None or target.name == source.name:
        return
    for example, own, other in _pairs(target, source):
        if target.lengths[own] != source.lengths[other]:
            here, there = target.tokens(own), source.tokens(other)
            yield InputError(
                f"{what}: the prompts must line up token by token, and example {example} has {len(here)} tokens in "
                f"{target.name!r} and {len(there)} in {source.name!r}: {where_they_part(here, there)}. Change the prompts, or "
                f"choose positions by index or name (pos='subject').\n{parting((target.name, here), (source.name, there))}"
            )
            return


def _pairs(target: Reader, source: Reader) -> Iterator[tuple[int, int, int]]:
    """Each example with its number in both inputs; the single example of an input stands for all."""
    here, there = target.given.examples, source.given.examples
    return ((example, example % here, example % there) for example in range(max(here, there)))


def where_they_part(tokens: Sequence[str], other: Sequence[str]) -> str:
    """The first token in which two tokenisations differ, in words.

    >>> where_they_part(["A", " big", " cat"], ["A", " cat"])
    "they part at token 1: ' big' and ' cat'"
    """
    at = _parts_at(tokens, other)
    pair = " and ".join(repr(each[at]) if at < len(each) else "the end" for each in (tokens, other))
    return f"they part at token {at}: {pair}"


def parting(one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]]) -> str:
    """Two tokenisations, one under the other, with a mark under the first token in which they differ.

    >>> print(parting(("clean", ["A", " big", " cat"]), ("other", ["A", " cat"])))
      clean: |A| big| cat|
      other: |A| cat|
                ^ token 1
    """
    width = max(len(one[0]), len(other[0]))
    lines = [f"  {label:>{width}}: |{'|'.join(map(_shown, each))}|" for label, each in (one, other)]
    at = _parts_at(one[1], other[1])
    indent = 2 + width + 2 + 1 + sum(len(_shown(token)) + 1 for token in one[1][:at])
    return "\n".join([*lines, f"{' ' * indent}^ token {at}"])


def _parts_at(tokens: Sequence[str], other: Sequence[str]) -> int:
    both = zip(tokens, other, strict=False)
    return next((i for i, (a, b) in enumerate(both) if a != b), min(len(tokens), len(other)))


def _shown(token: str) -> str:
    return repr(token)[1:-1]


def _mean_problems(edit: Mean, target: Reader, source: Reader) -> Iterator[AssayError]:
    if not edit.per_position:
        return
    here = target.lengths or ()
    lengths = {*(here[i] for i in _meant(edit, target)), *(source.lengths or ())} if here else set(source.lengths or ())
    if len(lengths) > 1:
        yield InputError(
            f"{edit}: a mean for each position needs prompts of one length, and these have "
            f"{' or '.join(map(str, sorted(lengths)))} tokens. Use per_position=False, or prompts of one length."
        )


def _meant(edit: Edit, target: Reader) -> list[int]:
    """The examples that an edit means, as far as they exist; others are reported where examples are checked."""
    try:
        return resolve_indices(edit.examples, size=target.given.examples, axis="example")
    except InputError:
        return []


def _resample_problems(edit: Resample, source: Reader) -> Iterator[AssayError]:
    lengths = source.lengths or (0,) * source.given.examples
    alone = [length for length, count in Counter(lengths).items() if count < 2]
    if alone:
        shown = f" with {alone[0]} tokens" if source.lengths else ""
        yield InputError(
            f"{edit}: {source.name!r} has a single example{shown}, so there is no other one to draw. Give at least two of each "
            "length."
        )


def _place_problems(edit: Edit, target: Reader, source: Reader) -> Iterator[AssayError]:
    if target.lengths is None or source.lengths is None:
        return
    place = getattr(edit, "source_pos", None)
    place = edit.pos if place is None else place
    for example, own, other in _different_pairs(target, source, named=has_name(edit.pos) or has_name(place)):
        try:
            here = len(target.positions(edit.pos, own))
        except InputError:
            return  # reported where the places themselves are checked
        try:
            there = len(source.beside(target, own).positions(place, other))
        except InputError as error:
            yield InputError(f"{edit}: in {source.name!r}, {error}")
            return
        if here != there:
            yield InputError(
                f"{edit}: pos selects {here} positions of example {example} and source_pos {there}: expected as many."
            )
            return


def _different_pairs(target: Reader, source: Reader, *, named: bool) -> Iterator[tuple[int, int, int]]:
    """Pairs of examples in which a place may mean something else: one of each two lengths, all if it has a name."""
    seen = set()
    for example, own, other in _pairs(target, source):
        key = (example,) if named else ((target.lengths or ())[own], (source.lengths or ())[other])
        if key not in seen:
            seen.add(key)
            yield example, own, other


def _site_problems(edit: Patch, sites: Sequence[SiteFacts], facts: Facts) -> Iterator[AssayError]:
    for there in facts.sites(edit.source_site or edit.site)[:1]:
        here = sites[0]
        if [here.sizes.get(axis) for axis in here.axes] != [there.sizes.get(axis) for axis in there.axes]:
            yield ShapeError(
                f"{edit}: the source site {edit.source_site!r} is {axes_text(there)}, the target {axes_text(here)}. "
                "Expected the same axes."
            )
