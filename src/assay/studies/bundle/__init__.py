"""Bundles: one zip archive that holds a finished run, for somebody who has never seen it. Data only; nothing in it is run.

    bundle.json               what is here: hashes of all files, the plan's hash, model, data, environment, the commands
    README.md                 the same for a person
    study.yaml  plan.json  environment.json  conclusion.json  log.jsonl  report.html
    requirements.txt          the exact versions of the packages that the run was made with
    prompts/<data>.jsonl      every prompt
    results/<step>.parquet    every number
    figures/<step>-<k>.svg    the report's figures

The same run folder gives the same bytes: names are sorted, and times are fixed.

    manifest    bundle.json
    archive     packing, and unpacking what a stranger has packed
    collect     from a run folder to files
    anonymous   takes out who made it
    opened      from files to a run that can be read, and whether it agrees with itself
"""

from assay.studies.bundle.opened import Bundle, open_bundle
from assay.studies.bundle.write import bundle_name, write_anonymous_bundle, write_bundle

__all__ = ["Bundle", "bundle_name", "open_bundle", "write_anonymous_bundle", "write_bundle"]
