"""`assay store`: what is kept of earlier runs, whether it is sound, and making room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.app.commands.model_options import AsJson

if TYPE_CHECKING:
    from assay.engine.store import Store

store = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Results that are kept, by what made them.")

Root = Annotated[
    Path | None,
    typer.Option("--store", help="The store's folder; by default $ASSAY_STORE, or one in the cache folder."),
]


@store.command("ls")
def ls(root: Root = None, as_json: AsJson = False) -> None:
    """List what is kept, what was used last first.

    \b
    Examples:
      assay store ls
      assay store ls --store runs/store --json
    """
    from assay.app.store_display import row, show_rows
    from assay.engine.store.cleaning import last_used

    entries = sorted(_store(root).entries(), key=lambda entry: last_used(entry.folder), reverse=True)
    rows = [row(entry) for entry in entries]
    if as_json:
        _print({"store": str(_store(root).root), "entries": rows})
    else:
        show_rows(rows, _store(root).root)


@store.command("show")
def show(
    key: Annotated[str, typer.Argument(help="A key, or as many of its first digits as tell it from the others.")],
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show one entry: model, experiment, how far it has come, and the numbers if it is finished.

    \b
    Examples:
      assay store show 960f
      assay store show 960f --json
    """
    from assay.app.store_display import contents, show_entry

    entry = _store(root).find(key)
    if as_json:
        _print(contents(entry))
    else:
        show_entry(entry)


@store.command("verify")
def verify(
    root: Root = None,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move damaged files out of the way, so that they are made again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every file and check it against its checksum; exit code 1 if one is damaged.

    A damaged file is never used: the run that would need it sets it aside and computes again.

    \b
    Examples:
      assay store verify
      assay store verify --set-aside --json
    """
    from assay.engine.store.verify import verify as verify_entries

    found = verify_entries(_store(root).entries())
    damaged = [
        {"file": str(path), "why": why, "set_aside": set_aside and entry.set_aside(path)}
        for entry, path, why in found.damaged
    ]
    if as_json:
        _print({"files": found.files, "damaged": damaged})
    else:
        for each in damaged:
            typer.echo(f"{each['file']}: {each['why']}{', set aside' if each['set_aside'] else ''}")
        typer.echo(f"{found.files} files read, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(1)


@store.command("gc")
def gc(
    root: Root = None,
    older_than: Annotated[
        str | None, typer.Option(help="Remove what was not used for so long: 12h, 30d, 8w.", metavar="TIME")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="Remove what was not used for longest, down to this size: 500MB, 10GiB.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make room. Without options, only leftovers go: files of writers that died, damaged files that were set aside, parts of
    what is finished.

    \b
    Examples:
      assay store gc --dry-run
      assay store gc --older-than 30d --keep 10GiB
    """
    from assay.app.amounts import byte_count, duration, shown
    from assay.engine.store.cleaning import removals, remove

    seconds = None if older_than is None else duration(older_than)
    found = removals(_store(root), older_than=seconds, keep=None if keep is None else byte_count(keep))
    if not dry_run:
        for each in found:
            remove(each)
    total = sum(each.bytes for each in found)
    if as_json:
        listed = [{"path": str(each.path), "bytes": each.bytes, "why": each.why} for each in found]
        _print({"dry_run": dry_run, "bytes": total, "removed": listed})
    else:
        for each in found:
            typer.echo(f"{shown(each.bytes):>9}  {each.path}  ({each.why})")
        typer.echo(f"{'would free' if dry_run else 'freed'} {shown(total)}")


def _store(root: Path | None) -> Store:
    from assay.engine.store import Store

    return Store(root)


def _print(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
