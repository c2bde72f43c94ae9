"""Write the record and the page: `python -m tests.conformance.table [name ...]`; `--page` writes only the page.

Examines the architectures named (all of them without names; about five minutes on one core), updates
tests/conformance/record.json, and writes docs/architectures.md from it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
import transformers
from tests.conformance import coverage, record, zoo
from tests.conformance.examine import CHECKS, Row, examine, harmless
from tests.conformance.identities import IDENTITIES
from tests.conformance.notes import NOTES

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"

FAMILIES = {
    "Causal language models": zoo.causal_types,
    "Encoders": zoo.encoders,
    "Encoder-decoders": zoo.encoder_decoders,
    "Vision transformers and towers": zoo.vision,
    "Models that read images": zoo.multimodal,
}

HEAD = """# Architectures

Written by `{command}` with transformers {transformers} and torch {torch}; the tests fail when it is out of date.

A row is a model type of transformers' causal-LM mapping, or a class of another kind. Each was built as a tiny random
model (fp32, two layers or one of each kind, every weight perturbed), its sites were found as `assay.load` finds them,
and every check below was run on it. Of {causal} causal-LM types, **{residual} have the residual-stream identities** on
every layer, and **{internals} have all attention internals** (q, k, v, scores, pattern, z, head_out, readable and
writable) on every layer that attends. [What is missing](#what-is-missing) lists every failure with its reason.

## Columns

Site groups: `all` of the layers that could have the group, `k of n` of them, `–` none could, `none` no layers found.
{groups}

Identities, to 1e-5 of the largest number compared (fp32 rounds at 6e-8, and sums of up to a few hundred terms are taken
here in another order than in native code):

- `mid = pre + attn`: resid_mid = resid_pre + attn_out (or ssm_out). `–` in parallel and single-branch blocks.
- `post = sum of parts`: resid_post = resid_pre + everything that is added; in post-norm blocks the norm of that sum.
- `Σ head_out + bias`: what the output projection returns.
- `rows sum to 1`: of the pattern, to less where a sink takes a share.
- `pattern = softmax(scores)`, up to a sink's share.
- `z = pattern · v`; `indirect` where native code has a gate, a norm or a mixing between them (then z is what the output
  projection reads, and follows the pattern).

Interventions and runs:

- `native outputs`: with every site captured, all outputs are `torch.equal` to native under the same kernel.
- `self-patch`: setting a site to its own value leaves all outputs `torch.equal`, for each site.
- `edits change`: setting a site to something else changes the output, for each writable site.
- `set = captured`: what is captured after a set is what was set.
- `clean after error`: an error or Ctrl-C inside an edit leaves no hook and no other attention kernel.
- `copies`, `moved copies`: a `deepcopy`, and one sent to double precision, work and leave the original alone.
- `fused kernel`: under `sdpa`, outputs with sites captured outside attention are `torch.equal` to native.
- `gradients`: at every site equal to autograd through native code with plain hooks, to 1e-4 of the largest term (what
  comes back through everything downstream cancels in part).
- `left padding`, `right padding`: at the text's positions every site has its unpadded value.
- `cached values`, `cached generation`: every site, token by token on a cache, has its uncached value; greedy tokens under
  an edit are the same with and without.

`native` means that the architecture's own code, without assay, differs, refuses, or has no path from there to its output;
`–` that the check does not apply.
"""


def page(rows: Mapping[str, Row], made_with: Mapping[str, str]) -> str:
    """The whole page."""
    causal = [rows[name] for name in zoo.causal_types()]
    head = HEAD.format(
        command=record.REGENERATE,
        groups="\n".join(
            f"- {group}: {', '.join(f'`{n}`' for n in names)}" for group, names in coverage.GROUPS.items()
        ),
        causal=len(causal),
        residual=sum(row.residual for row in causal),
        internals=sum(row.internals for row in causal),
        **made_with,
    )
    parts = [head]
    for title, names in FAMILIES.items():
        parts.append(_family(title, [rows[name] for name in names() if name in rows]))
    parts.append("## What is missing\n\n" + "\n".join(_missing(rows.values())) + "\n")
    if absent := [name for name in zoo.everything() if name not in rows]:
        parts.append("## Not yet examined\n\n" + ", ".join(absent) + "\n")
    return "\n".join(parts)


def _family(title: str, rows: list[Row]) -> str:
    built = [row for row in rows if not row.error]
    groups = _table(["", "blocks", "attention", *coverage.GROUPS], (_group_cells(row) for row in built))
    checks = _table(["", *IDENTITIES, *CHECKS], (_check_cells(row) for row in built))
    return f"## {title}\n\n{groups}\n### {title}: identities, interventions, runs\n\n{checks}"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [_line(head), _line(["---"] * len(head)), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _group_cells(row: Row) -> list[str]:
    return [row.name, row.kinds or "none found", row.attention, *(row.groups[group] for group in coverage.GROUPS)]


def _check_cells(row: Row) -> list[str]:
    return [row.name, *(_short(row.checks[name]) for name in (*IDENTITIES, *CHECKS))]


def _short(result: str) -> str:
    return result.partition(":")[0] if harmless(result) else "**no**"


def _missing(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        facts = list(_facts(row))
        if facts:
            yield f"- **{row.name}**" + (f" ({row.class_name})" if row.class_name else "")
            yield from (f"    - {fact}" for fact in facts)


def _facts(row: Row) -> Iterator[str]:
    if row.name in NOTES:
        yield NOTES[row.name]
    if row.error:
        yield f"not built: {row.error}"
    elif not row.kinds:
        yield "no stack of blocks was found: no list of modules passes on one residual stream of [batch, pos, d_model]"
    for check, result in row.checks.items():
        if not harmless(result):
            yield f"{check}: {result}"
        elif result.startswith("native: "):
            yield f"{check}, native code: {result.removeprefix('native: ')}"
    if row.kinds:
        yield from (f"`{site}`: {why}" for site, why in row.reasons.items())


def main(arguments: list[str]) -> None:
    """Examine, record, write the page. What was examined is saved after each architecture."""
    if "--page" not in arguments:
        torch.set_num_threads(1)
        rows = dict(record.recorded()) if record.PATH.exists() else {}
        made_with = {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]}
        for name in arguments or zoo.everything():
            started = time.perf_counter()
            rows[name] = examine(name)
            print(f"{name:40} {time.perf_counter() - started:5.1f} s  {rows[name].wrong or ''}", flush=True)
            record.write(rows, made_with)
        record.recorded.cache_clear()
    if set(record.recorded()) >= set(zoo.causal_types()):
        PAGE.write_text(page(record.recorded(), record.versions()))


if __name__ == "__main__":
    main(sys.argv[1:])
