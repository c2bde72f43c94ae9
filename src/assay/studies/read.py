"""Reading a study file, with errors that name the line and the field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from assay.core.errors import StudyError, nearest
from assay.studies.own_prompts import seen_from
from assay.studies.schema import VERSION, Study

Place = Sequence[str | int]


def read_study(path: str | Path) -> Study:
    """The study in a YAML file.

    Raises:
        StudyError: the file can't be read, isn't YAML, or isn't a study; each problem has its line and field.
    """
    if Path(path).suffix == ".py":
        raise StudyError(
            f"{path} is a Python program, and none is run unasked: give --python to run it and take its `study`, or start it "
            f"yourself with `python {path}` (docs/studies/python.md)."
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StudyError(f"Cannot read the study file {path}: {reason}.") from None
    return seen_from(parse_study(text, name=str(path)), Path(path).parent)


def parse_study(text: str, *, name: str = "study") -> Study:
    """The study in a YAML text; `name` is what errors call it."""
    root = _compose(text, name)
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        raise StudyError(f"{name}: expected a mapping with title, question, data, steps, hypotheses.")
    version = content.get("version", VERSION)
    if isinstance(version, int) and version > VERSION:
        raise StudyError(f"{name}: written for study format {version}; this assay reads up to {VERSION}: upgrade it.")
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        problems = [_explain(details, root, name) for details in error.errors(include_url=False)]
        raise StudyError("\n".join(dict.fromkeys(problems))) from None


def study_yaml(study: Study) -> str:
    """The study as a file that reads back as the same study."""
    content = study.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_repeated_keys(root, name)
    except yaml.MarkedYAMLError as error:
        line = f"{error.problem_mark.line + 1}" if error.problem_mark else "?"
        raise StudyError(f"{name}:{line}: not valid YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise StudyError(f"{name}: not valid YAML: {error}.") from None
    return root


def _refuse_repeated_keys(node: yaml.Node | None, name: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen and key.value != "<<":
                raise StudyError(f"{name}:{key.start_mark.line + 1}: the key {key.value!r} is given twice.")
            seen.add(key.value)
            _refuse_repeated_keys(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, name)


def _explain(details: ErrorDetails, root: yaml.Node | None, name: str) -> str:
    place = [part for part in details["loc"] if part not in ("step", "difference", "ratio", "share", "[key]")]
    place = _existing(place, root) if details["type"] != "missing" else place
    where = ".".join(str(part) for part in place)
    line = _line(place, root)
    label = f"{name}:{line}: " + (f"{where}: " if where else "")
    if details["type"] == "missing":
        return f"{label}must be given."
    if details["type"] == "extra_forbidden":
        known = _fields(place[:-1])
        return f"{label}not a field here.{nearest(str(place[-1]), known)}"
    message = details["msg"].removeprefix("Value error, ")
    return label + message[:1].lower() + message[1:]


def _existing(place: Place, root: yaml.Node | None) -> list[str | int]:
    """The part of a place that the file really has: pydantic adds the names of union members to it."""
    kept: list[str | int] = []
    for part in place:
        if _descend([*kept, part], root) is not None:
            kept.append(part)
    return kept


def _line(place: Place, root: yaml.Node | None) -> int:
    """The line of the deepest part of a place that the file has."""
    line = 1
    for length in range(len(place) + 1):
        found = _descend(place[:length], root)
        if found is None:
            break
        line = found.start_mark.line + 1
    return line


def _descend(place: Place, root: yaml.Node | None) -> yaml.Node | None:
    node = root
    for depth, part in enumerate(place):
        last = depth == len(place) - 1
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                return None
            node = pair[0] if last else pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return None
    return node


def _fields(place: Place) -> list[str]:
    """The fields that the models at a place have, for suggestions."""
    if not place:
        return list(Study.model_fields)
    field = Study.model_fields.get(str(place[0]))
    return [name for model in _models_in(field.annotation if field else None) for name in model.model_fields]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for argument in getattr(annotation, "__args__", ()) for each in _models_in(argument)]
