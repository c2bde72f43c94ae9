"""The JSON schema of study files, for completion in editors: `python -m assay.studies.json_schema [PATH]`.

It is kept in `docs/study.schema.json`, and a test fails when that file is not what the models say.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from assay.core.codec import pretty
from assay.core.files import write_text
from assay.studies.schema import VERSION, Study

PATH = Path("docs/study.schema.json")
"""Where the schema is kept, seen from the root of the repository."""


def study_schema() -> dict[str, Any]:
    """The schema, as JSON Schema 2020-12. Conditions are written as text: `>= 0.9`, `in [0.2, 0.4]`."""
    made = Study.model_json_schema(by_alias=True)
    made["$defs"]["Condition"] = {
        "type": "string",
        "description": "How a number must compare: >= 0.9, < 10, in [0.2, 0.4].",
        "pattern": r"^\s*(>=|<=|>|<)\s*[-+.\deE]+\s*$|^\s*in\s*\[[^\]]+\]\s*$",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"assay study, version {VERSION}",
        **{key: value for key, value in made.items() if key != "title"},
    }


def main() -> None:
    """Write the schema."""
    write_text(Path(sys.argv[1]) if len(sys.argv) > 1 else PATH, pretty(study_schema()))


if __name__ == "__main__":
    main()
