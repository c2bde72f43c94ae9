"""From a finished run folder to the files of its bundle. Nothing of the folder that is not known goes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.core import codec
from assay.core.errors import StorageError, StudyError
from assay.studies.bundle import manifest as about
from assay.studies.bundle.figures import pictures
from assay.studies.own_prompts import beside, place_of
from assay.studies.read import study_yaml
from assay.studies.report import FILE as REPORT
from assay.studies.report.contents import Contents, read_contents

KEPT = ("plan.json", "environment.json", "conclusion.json", "log.jsonl", REPORT)
_README = """\
# {title}

{question}

A finished study, bundled by assay {version}. Nothing in here is a program.

    {verify}
    {run}

The first checks it and runs it again, and says number by number whether it holds. The second runs it from the study file,
after unpacking. {model}

| file | what it is |
|---|---|
| report.html | what came out, with figures |
| study.yaml, plan.json | what was asked and predicted beforehand, with its hash: {plan} |
| conclusion.json | the verdicts |
| results/ | every number, as Parquet: one row each |
| prompts/ | every prompt, as JSON lines |
| figures/ | the report's figures |
| environment.json, requirements.txt | what it was made with |
| log.jsonl | what happened when |
| bundle.json | the hash of every file |
"""


def files_of(root: Path) -> dict[str, bytes]:
    """The files of a bundle, but for `bundle.json` and what it says.

    Raises:
        StudyError: the folder is no run folder, or its run did not come to its end.
    """
    contents = read_contents(root)
    if contents.missing:
        raise StudyError(
            f"{root} has no numbers of {', '.join(contents.missing)}: run the study to its end, then bundle it."
        )
    if contents.conclusion.plan != contents.plan.hash:
        raise StudyError(
            f"The conclusion of {root} is about another plan than the one in force: run the study to its end."
        )
    files = {name: _read(root / name) for name in KEPT}
    files["study.yaml"] = study_yaml(beside(contents.study)).encode()
    files["requirements.txt"] = _requirements(contents.environment).encode()
    for name, spec in contents.study.data.items():
        files[f"prompts/{name}.jsonl"] = _read(root / "prompts" / f"{name}.jsonl")
        if spec.task is None:
            files[place_of(name, spec)] = _read(root / place_of(name, spec))
    for name, result in contents.results.items():
        files[f"results/{name}.parquet"] = _read(root / "results" / f"{name}.parquet")
        files |= {f"figures/{name}-{k}.svg": each for k, each in enumerate(pictures(result), start=1)}
    return files


def described(
    files: dict[str, bytes], contents: Contents, *, announced: str | None, anonymous: bool
) -> dict[str, bytes]:
    """The files with README.md and `bundle.json`."""
    name = "BUNDLE.zip"
    commands = {"verify": f"assay study verify {name}", "run": "assay study run study.yaml --out again"}
    model = _model(contents)
    if model.kind in ("folder", "gguf", "object"):
        commands = {key: f"{command} --model PATH" for key, command in commands.items()}
    readme = _README.format(
        title=contents.study.title,
        question=contents.study.question,
        version=contents.environment.get("versions", {}).get("assay", "?"),
        plan=contents.plan.hash,
        model=_where(model),
        **commands,
    )
    whole = files | {"README.md": readme.encode()}
    manifest = about.Manifest(
        title=contents.study.title,
        plan=contents.plan.hash,
        announced=announced,
        steps=tuple(contents.study.steps),
        data={
            each: about.DataEntry(prompts=f"prompts/{each}.jsonl", made_by=spec.model_dump(mode="json", by_alias=True))
            for each, spec in contents.study.data.items()
        },
        model=model,
        versions=contents.environment.get("versions", {}),
        commands=commands,
        anonymous=anonymous,
        files={each: about.entry(content) for each, content in sorted(whole.items())},
    )
    return whole | {about.FILE: codec.pretty(manifest.model_dump(mode="json")).encode()}


def _model(contents: Contents) -> about.ModelEntry:
    known: dict[str, Any] = contents.environment.get("model", {})
    return about.ModelEntry(**{name: known.get(name) for name in about.ModelEntry.model_fields})


def _where(model: about.ModelEntry) -> str:
    """How to get the model."""
    found = f"The model's fingerprint is {model.fingerprint}"
    match model.kind:
        case "embedded":
            return f"{found}: it comes with assay."
        case "hub":
            return f"{found}: it is {model.name} at revision {model.revision} on the hub."
        case _:
            return f"{found}: it was a folder or file of its own ({model.name}), so say where your copy of it is."


def _requirements(environment: dict[str, Any]) -> str:
    """The packages' exact versions, as pip reads them."""
    versions: dict[str, str] = environment.get("distributions") or environment.get("versions", {})
    head = f"# Python {environment.get('versions', {}).get('python', '?')}"
    lines = [f"{name}=={version}" for name, version in sorted(versions.items()) if name != "python"]
    return "\n".join([head, *lines]) + "\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise StorageError(
            f"{path.parent} has no {path.name}: run the study again, nothing is computed twice."
        ) from None
