"""The `python` blocks of every documentation page run, in order, in one namespace per page.

A block fenced as ```python skip``` is shown but not run: what needs a network, an accelerator or files
of the reader's own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in page.parts]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[int, str]]:
    """Line number and source of each block to run; a skipped one is left out."""
    found = []
    for match in FENCE.finditer(text):
        if match["info"].split() == ["python"]:
            line = text[: match.start("body")].count("\n") + 1
            cut = len(match["indent"])
            found.append((line, "\n".join(row[cut:] for row in match["body"].split("\n"))))
    return found


def runnable(page: Path) -> bool:
    return bool(blocks(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", [str(p.relative_to(ROOT)) for p in [ROOT / "README.md", *PAGES] if runnable(p)])
def test_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for line, source in blocks(text):
        # blank lines in front, so that a traceback shows the page's own line number
        exec(compile("\n" * (line - 1) + source, str(ROOT / page), "exec"), namespace)


def test_blocks_are_found() -> None:
    text = "a\n```python\nx = 1\n```\n```python skip\nno\n```\n- b\n    ```python\n    y = x\n    ```\n```bash\nls\n```"
    assert blocks(text) == [(3, "x = 1\n"), (10, "y = x\n")]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in PAGES)])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    broken = [t for t in targets if "://" not in t and not ((ROOT / page).parent / t).exists()]
    assert not broken
