"""`assay load MODEL`: what is this model, and which places in it have names?"""

from __future__ import annotations

import json
from io import StringIO
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def load(
    model: Annotated[
        str | None,
        typer.Argument(help="A hub id, a folder, or a .gguf file. Nothing: the embedded SmolLM2-135M-Instruct."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub repository.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Cast to float32, bfloat16, ...; by default as stored.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to put it: cpu, cuda, cuda:1, mps.")] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run Python code from the model's repository. DANGER: it can do anything that you can do, such as "
            "reading your files and keys. Read it first, and pin --revision to a commit.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a model is: sizes, memory, tokenizer, sites.

    Sites that could not be established are listed with the reason. Nothing goes to a hub unless MODEL is a hub id.

    \b
    Examples:
      assay load
      assay load ./my-model --dtype bfloat16
      assay load EleutherAI/pythia-70m --revision step3000 --json
    """
    from assay.app.description import describe
    from assay.engine.model import load as load_model

    options: dict[str, Any] = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "trust_remote_code": trust_remote_code,
    }
    description = describe(load_model(model, **options))
    if as_json:
        typer.echo(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        if console.is_terminal:
            show(description, console)
        else:
            typer.echo(plain(description))


def plain(description: dict[str, Any]) -> str:
    """The description as text for a file or a pipe: 120 columns, no blanks at the ends of lines."""
    console = Console(highlight=False, width=120, file=StringIO())
    with console.capture() as captured:
        show(description, console)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def show(description: dict[str, Any], console: Console) -> None:
    """Print a description for people."""
    console.print(Text(description["name"], style="bold"))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column()
    facts.add_column(overflow="fold")
    for label, value in _facts(description):
        facts.add_row(Text(label, style="dim"), Text(value))
    console.print(facts)
    console.print()
    console.print(_sites(description["sites"]))
    if (last := _last_site(description["sites"])) is not None:
        console.print(
            Text(f"\nA site's full name has its layer: {last}. Without one it stands for all layers.", style="dim")
        )
    if description["absent"]:
        console.print()
        console.print(_absent(description["absent"]))


def _facts(description: dict[str, Any]) -> list[tuple[str, str]]:
    memory, sizes, source = description["memory"], description["sizes"], description["source"]
    kind = f" (model type {description['model_type']})" if description["model_type"] else ""
    rows = [
        ("class", f"{description['class']}{kind}"),
        ("sizes", ", ".join(f"{name} {value:,}" for name, value in sizes.items())),
        ("parameters", f"{memory['parameters']:,}"),
        ("memory", f"{memory['bytes'] / 1e6:,.1f} MB, {description['dtype']}, on {description['device']}"),
        ("tokenizer", _tokenizer(description["tokenizer"])),
        ("fingerprint", description["fingerprint"]),
        ("source", source["kind"] + (f" {source['asked']}" if source["asked"] else "")),
    ]
    if source["revision"]:
        rows.append(("revision", source["revision"]))
    return [*rows, *(("", fact) for fact in source["facts"])]


def _tokenizer(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "none: give token ids"
    added = f"adds {facts['adds']} special tokens to a text" if facts["adds"] else "adds no special tokens to a text"
    chat = "has a chat template" if facts["chat_template"] else "no chat template"
    return f"{facts['vocabulary']:,} tokens, BOS {facts['bos']}, EOS {facts['eos']}, {added}, {chat}"


def _sites(rows: list[dict[str, Any]]) -> Table:
    table = Table("site", "layers", "shape", "", title="Sites", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        shape = " × ".join(f"{axis} {row['sizes'].get(axis, '')}".strip() for axis in row["axes"])
        table.add_row(row["name"], ranges(row["layers"]), shape, "" if row["writable"] else "read only")
    if not rows:
        table.add_row("none but native modules", "", "native:<module path>:<in|out>", "")
    return table


def _last_site(rows: list[dict[str, Any]]) -> str | None:
    """A full name that this model has, as an example."""
    layered = [row for row in rows if row["layers"]]
    if not layered:
        return None
    stack, _, name = layered[-1]["name"].rpartition(".")
    return f"{stack}.L{max(layered[-1]['layers'])}.{name}".removeprefix(".")


def _absent(rows: list[dict[str, Any]]) -> Table:
    """One line for all sites that are absent in the same layers for the same reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((ranges(row["layers"]), row["reason"]), []).append(row["name"])
    table = Table("sites", "layers", "why", title="Absent", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for (layers, reason), names in groups.items():
        table.add_row(Text(", ".join(names)), layers, Text(reason))  # as they are: [batch, pos] is no markup
    return table


def ranges(layers: list[int]) -> str:
    """`[0, 1, 2, 5]` as `0-2, 5`."""
    parts: list[list[int]] = []
    for layer in sorted(layers):
        if parts and layer == parts[-1][-1] + 1:
            parts[-1].append(layer)
        else:
            parts.append([layer])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
