"""A study's own prompts: a file of contrast pairs beside the study file, in place of a task family.

    data:
      test: {file: capitals.jsonl, split: test, n: 80}

Of a file whose examples name their split, those of the data set's split are taken; else all of them. All keep their order
if `n` is their number, and `n` are drawn by `seed` if there are more. What is frozen is the hash of the examples that were
taken: neither the file's name nor where it lies. A run folder holds them as `prompts/<data>.jsonl`, and its study file
names that, so that both can be run and bundled from there; where a rule leaves some out (`exclusions.py`), that file has those
that are left, and `prompts/<data>.all.jsonl` all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.core.codec import digest
from assay.core.errors import DataError, StudyError
from assay.data.pairs import Pairs
from assay.studies.exclusions import refuse_unanswered
from assay.studies.schema import DataSpec, Study


def own_prompts(spec: DataSpec) -> Pairs:
    """The examples that a data set takes from its file, as text.

    Raises:
        StudyError: the plan holds the hash of the prompts but no file is named, or they are not those that were frozen.
        DataError: the file can't be read, or has too few examples.
    """
    if spec.file is None:
        raise StudyError(
            "The prompts of this study are its authors' own, and the study file names no `file` that holds them. A run folder "
            "and a bundle have them under prompts/."
        )
    found = Pairs.from_jsonl(spec.file)
    if any(example.split for example in found):
        found = found.filter(split=spec.split)
    for wording in spec.templates or ():
        if wording not in found.templates:
            raise DataError(f"{Path(spec.file).name} has no template '{wording}' in split {spec.split}.")
    found = found if spec.templates is None else found.filter(template=spec.templates)
    if len(found) < spec.n:
        raise DataError(
            f"{Path(spec.file).name} has {len(found)} examples of split {spec.split}, and n = {spec.n} are asked for."
        )
    taken = found if len(found) == spec.n else found.sample(spec.n, spec.seed)
    if spec.prompts is not None and spec.prompts != hash_of(taken):
        raise StudyError(
            f"The prompts in {Path(spec.file).name} are not those of the plan: the file was changed after it was frozen."
        )
    return taken


def hash_of(pairs: Pairs) -> str:
    """The same for the same examples in the same order."""
    return digest([example.model_dump(mode="json") for example in pairs])


def frozen_data(study: Study) -> dict[str, Any]:
    """The data sets as a plan holds them: of own prompts their hash, of tasks what makes them."""
    found = {}
    for name, spec in study.data.items():
        content = spec.model_dump(mode="json", by_alias=True, exclude={"file"})
        if not spec.exclude:
            del content["exclude"]
        if spec.task is not None:
            del content["prompts"]
        else:
            del content["task"], content["variant"]
            content["prompts"] = spec.prompts if spec.file is None else _hash(spec)
        found[name] = content
    return found


def _hash(spec: DataSpec) -> str:
    taken = own_prompts(spec)
    refuse_unanswered(taken, spec)
    return hash_of(taken)


def place_of(name: str, spec: DataSpec) -> str:
    """Where a run folder and a bundle hold all own prompts that a data set took from its file."""
    return f"prompts/{name}.all.jsonl" if spec.exclude else f"prompts/{name}.jsonl"


def beside(study: Study) -> Study:
    """The study as its run folder holds it: own prompts are those in the folder."""
    data = {
        name: spec if spec.task is not None else spec.model_copy(update={"file": place_of(name, spec)})
        for name, spec in study.data.items()
    }
    return study.model_copy(update={"data": data})


def seen_from(study: Study, folder: Path) -> Study:
    """The study with the files of its prompts as its own folder sees them."""
    data = {
        name: spec if spec.file is None else spec.model_copy(update={"file": str(folder / spec.file)})
        for name, spec in study.data.items()
    }
    return study.model_copy(update={"data": data})


def share_examples(one: DataSpec, other: DataSpec) -> bool:
    """Whether two data sets hold an example in common, where one of them is of own prompts."""
    if one.file is None or other.file is None:
        return one.prompts is not None and one.prompts == other.prompts
    first, second = ({example.clean for example in own_prompts(each)} for each in (one, other))
    return bool(first & second)
