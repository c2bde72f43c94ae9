"""`assay study bundle`, `verify` and `compare`: from a run to an archive, and from an archive to the same verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from assay.app.commands.model_options import AsJson


def bundle(
    folder: Annotated[Path, typer.Argument(help="A finished run folder.")],
    out: Annotated[Path | None, typer.Option(help="The archive; FOLDER.zip beside the folder if left out.")] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Take out what tells who made it, and prove that nothing is left.")
    ] = False,
    names: Annotated[
        Path | None, typer.Option(metavar="NAMES.txt", help="With --anonymous: names to look for, one a line.")
    ] = None,
    allow: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --anonymous: known-good texts, one a line.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pack a finished run into one archive that somebody else can verify. Data only; the same run gives the same bytes.

    \b
    Examples:
      assay study bundle runs/ioi
      assay study bundle runs/ioi --anonymous --names names.txt --out supplement.zip
    """
    from assay.studies.anonymity.allowed import read_allowed
    from assay.studies.anonymity.names import Names, read_names
    from assay.studies.bundle import bundle_name, write_anonymous_bundle, write_bundle

    if not anonymous and (names is not None or allow is not None):
        raise typer.BadParameter("goes with --anonymous.", param_hint="--names" if names is not None else "--allow")
    path = out or bundle_name(folder)
    if anonymous:
        known = Names() if names is None else read_names(names)
        write_anonymous_bundle(folder, path, names=known, allowed=None if allow is None else read_allowed(allow))
    else:
        write_bundle(folder, path)
    typer.echo(json.dumps({"bundle": str(path), "bytes": path.stat().st_size}) if as_json else path)


def verify(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle that `assay study bundle` wrote.")],
    model: Annotated[str | None, typer.Option(help="Where the model is, if not where the bundle says.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub repository.")] = None,
    another_model: Annotated[
        bool, typer.Option("--another-model", help="Try the study on a model with other weights.")
    ] = False,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Only check that it is whole and agrees with itself.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Keep the new run in this folder, and go on with it.")] = None,
    plan: Annotated[
        str | None, typer.Option(metavar="sha256:…", help="The hash of the plan that was announced beforehand.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if any number differs beyond tolerance.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Open a bundle safely, run its study again, and say number by number whether it holds.

    Exit codes: 0 all verdicts hold; 1 a verdict changed; 2 it can't be verified: not a whole bundle, contradicts itself,
    another model.

    \b
    Examples:
      assay study verify ioi.zip
      assay study verify ioi.zip --no-run
      assay study verify ioi.zip --model ~/models/gpt2 --out runs/again
    """
    from assay.app.study_display import Bars
    from assay.app.verify_display import show_verification
    from assay.core.errors import AssayError
    from assay.studies.verify import Wanted, check_bundle, verify_bundle

    wanted = Wanted(model, revision, another_model)
    try:
        if no_run:
            found = check_bundle(path, announced=plan)
        else:
            with Bars(quiet=as_json) as bars:
                found = verify_bundle(path, wanted, folder=out, announced=plan, watcher=bars)
    except AssayError as error:
        if as_json:
            typer.echo(json.dumps({"outcome": "not verified", "error": str(error)}, ensure_ascii=False))
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(found.as_data(), indent=2, ensure_ascii=False))
    else:
        show_verification(found)
    raise typer.Exit(max(found.code, int(strict and bool(found.differing))))


def compare(
    paths: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN…", help="Run folders or bundles, the first for reference.")
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page that opens without a network.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put finished runs side by side: two models, two seeds, an original and its replication. Nothing is run.

    Says for each hypothesis what each run found, by how much it differs from the first one (paired where both have the same
    prompts), whether the two are as good as the same, and where the claim holds.

    \b
    Examples:
      assay study compare runs/ioi runs/ioi-gpt2
      assay study compare original.zip runs/again --html comparison.html
    """
    from assay.app.comparison_display import show_comparison
    from assay.studies.compare import compare as compared
    from assay.studies.compare import write_comparison
    from assay.studies.compare.runs import read_runs

    found = compared(read_runs(paths))
    if html is not None:
        write_comparison(found, html)
    if as_json:
        typer.echo(json.dumps(found.as_data(), indent=2, ensure_ascii=False))
        return
    show_comparison(found)
    if html is not None:
        typer.echo(f"page     {html}")
