"""A study that a Python program makes: run when asked with `--python`, never because of a file's name.

    assay study check my_study.py --python
    assay study run my_study.py --python

The program calls its study `study`. What is taken is the study's data, as a YAML file would hold it: the plan, its hash, the
run folder and the bundle are the same, and no code goes into them. The program runs with the rights of whoever starts it, as
with `python my_study.py`, but its `__name__` is `assay_study`: what stands under `if __name__ == "__main__":` is left out.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from pydantic import ValidationError

from assay.core.errors import StudyError
from assay.studies.own_prompts import seen_from
from assay.studies.read import read_study
from assay.studies.schema import Study

NAME = "study"


def study_in(path: Path, *, python: bool = False) -> Study:
    """The study in a YAML file, or with `python` the one that a program makes; its own errors are left as they are.

    Raises:
        StudyError: the file is no study, or a program that was not to be run, or it makes none.
    """
    if not python:
        return read_study(path)
    if path.suffix != ".py":
        raise StudyError(f"--python is for programs (.py), and {path} is none: leave it out.")
    if not path.is_file():
        raise StudyError(f"Cannot run {path}: there is no such file.")
    try:
        found = runpy.run_path(str(path), run_name="assay_study").get(NAME)
    except ValidationError as error:
        raise StudyError("\n".join(_explained(error, path))) from None
    if not isinstance(found, Study):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise StudyError(f"{path} calls {what} `{NAME}`: it must make a Study (from assay.studies) and call it so.")
    return seen_from(found, path.parent)


def _explained(error: ValidationError, path: Path) -> list[str]:
    """Each problem with the field that it is about."""
    return [
        f"{path}: {'.'.join(map(str, each['loc'])) or error.title}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors(include_url=False)
    ]
