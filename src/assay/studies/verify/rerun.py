"""Running a bundle's study again: the model by its fingerprint, the prompts as the plan makes them, then the steps.

The fingerprint decides what the same model is, not its name. The prompts are made again from the plan; if this version makes
others than those in the bundle, the results' keys tell whether the results come from the bundle's: then those are used, and
it is said. A key is a hash of all that a result was made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.core.errors import AssayError, StudyError
from assay.core.files import write_bytes
from assay.data.pairs import Pairs
from assay.studies.bundle.opened import Bundle
from assay.studies.environment import versions
from assay.studies.own_prompts import place_of
from assay.studies.plan import changes, content_of
from assay.studies.run import Run, run_study
from assay.studies.schema import DataSpec, ModelSpec, Study
from assay.studies.sources import Sources, load_model, make_prompts
from assay.studies.steps import step_key
from assay.studies.watcher import Watcher

_FILES = ("folder", "gguf", "object")
_HASHED_BY = ("assay", "tokenizers", "transformers")
"""Whose versions must be the same for the same content to have the same key."""


@dataclass(frozen=True)
class Again:
    """The run that was made again, and what is to be known of it."""

    run: Run
    fingerprint: str
    same_model: bool
    notes: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What whoever verifies has said."""

    model: str | None = None
    """Where the model is, if not where the bundle says."""
    revision: str | None = None
    another_model: bool = False
    """Whether another model than the bundle's is meant to be run."""


def run_again(bundle: Bundle, folder: Path, wanted: Wanted, *, watcher: Watcher | None = None) -> Again:
    """Run a bundle's study in a folder; what is done there already is not done again.

    Raises:
        StudyError: the model can't be loaded or is another one, or a step reads a file that the bundle doesn't hold.
    """
    contents = bundle.contents
    _refuse_files(contents.study)
    spec = _spec(bundle, wanted)
    model = _load(spec, bundle)
    same = model.fingerprint == bundle.manifest.model.fingerprint
    if not same and not wanted.another_model:
        raise StudyError(
            f"The model {spec} has the fingerprint {model.fingerprint[:23]}…, the bundle is about "
            f"{str(bundle.manifest.model.fingerprint)[:23]}… ({bundle.manifest.model.name}): another model. Say where the "
            "same one is with --model, or try the study on this one with --another-model."
        )
    study = _with_files(bundle).model_copy(update={"model": spec})
    prompts, notes, problems = _prompts(bundle, study, model, same=same)
    unlike = changes(contents.plan.current.content, content_of(study))
    if fresh := [place for place in unlike if not place.startswith("model.")]:
        notes.append(f"this version of assay writes more into the plan: {', '.join(fresh[:5])}, as it is by default")
    if not unlike and not (folder / "plan.json").exists():
        write_bytes(
            folder / "plan.json", (bundle.root / "plan.json").read_bytes()
        )  # keeps when it was frozen, and what was added
    by_spec = {_key(each): prompts[name] for name, each in study.data.items()}
    sources = Sources(lambda _: model, lambda each, _: by_spec[_key(each)])
    run = run_study(study, folder, sources=sources, watcher=watcher)
    return Again(run, model.fingerprint, same, tuple(notes), tuple(problems))


def _key(spec: DataSpec) -> str:
    return spec.model_dump_json()


def _refuse_files(study: Study) -> None:
    for name, step in study.steps.items():
        if step.settings.get("path") is not None and str(step.settings["path"]) not in ("inputs", "activations"):
            raise StudyError(
                f"Step {name!r} reads the file {str(step.settings['path'])[:80]!r}, which a bundle does not hold: it can't be "
                "run again from it. With --no-run its numbers are checked."
            )


def _spec(bundle: Bundle, wanted: Wanted) -> ModelSpec:
    asked, known = bundle.contents.study.model, bundle.manifest.model
    if wanted.model is not None:
        return ModelSpec(name=wanted.model, revision=wanted.revision, dtype=asked.dtype)
    if known.kind in _FILES:
        raise StudyError(
            f"The bundle is about a model of its authors' own ({known.kind} {known.name!r}): say where your copy is, --model "
            "PATH. Its fingerprint is compared."
        )
    revision = wanted.revision or (known.revision if known.kind == "hub" else None) or asked.revision
    return asked.model_copy(update={"revision": revision})


def _load(spec: ModelSpec, bundle: Bundle) -> Any:
    try:
        return load_model(spec)
    except AssayError as error:
        raise StudyError(f"The model of {bundle.name} can't be loaded: {str(error).splitlines()[0]}") from None


def _with_files(bundle: Bundle) -> Study:
    """The study, with the files of own prompts of which some are left out: which ones is for the model to say."""
    data = {
        name: spec.model_copy(update={"file": str(bundle.root / place_of(name, spec))})
        if spec.task is None and spec.exclude
        else spec
        for name, spec in bundle.contents.study.data.items()
    }
    return bundle.contents.study.model_copy(update={"data": data})


def _prompts(bundle: Bundle, study: Study, model: Any, *, same: bool) -> tuple[dict[str, Any], list[str], list[str]]:
    """Each data set's prompts, and what is to be said of them."""
    chosen: dict[str, Any] = {}
    notes: list[str] = []
    bundled: dict[str, str] = {}
    for name, spec in study.data.items():
        theirs = Pairs.from_jsonl(bundle.root / "prompts" / f"{name}.jsonl")
        if spec.task is None and not spec.exclude:  # nobody but its authors can make them again
            chosen[name] = theirs.align(model.tokenizer)
            bundled[name] = chosen[name].hash
            continue
        made = make_prompts(spec, model)
        chosen[name] = made
        apart = [i for i, (a, b) in enumerate(zip(made.examples, theirs.examples, strict=False)) if a != b]
        if not apart and len(made.examples) == len(theirs.examples):
            bundled[name] = made.hash
            continue
        where = (
            f"first prompt {apart[0] + 1}: {theirs.examples[apart[0]].clean[:60]!r}"
            if apart
            else "their number is another"
        )
        differ = max(len(apart), abs(len(made.examples) - len(theirs.examples)))
        notes.append(
            f"prompts {name}: {differ} of {len(theirs.examples)} are not those that the plan makes here ({where})"
        )
        aligned = theirs.align(model.tokenizer)
        bundled[name] = aligned.hash
        if same:
            chosen[name] = aligned
    if notes and same:
        notes.append("the bundle's own prompts are used")
    unlike = _made_from(bundle, bundled, model) if same else []
    made, here = bundle.manifest.versions, versions()
    if all(made.get(name) == here.get(name) for name in _HASHED_BY):
        return chosen, notes, unlike
    return chosen, [*notes, *(f"{each} (or another version hashes them otherwise)" for each in unlike)], []


def _made_from(bundle: Bundle, prompts: dict[str, str], model: Any) -> list[str]:
    """Results whose key is not the hash of what they are said to be made from."""
    found: list[str] = []
    keys = {name: result.key for name, result in bundle.contents.results.items()}
    version = str(bundle.manifest.versions.get("assay"))
    for name, step in bundle.contents.study.steps.items():
        needs = {parameter: keys[needed] for parameter, needed in step.needs.items()}
        key = step_key(step, needs, prompts=prompts[step.data], model=model.fingerprint, version=version)
        if key != keys[name]:
            found.append(
                f"results/{name}.parquet was not made from the prompts ({step.data}), tokenizer, settings and earlier results "
                "in the bundle"
            )
    return found
