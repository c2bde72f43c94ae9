"""Write the list of common English words that tells names from words: from the vocabulary of the embedded model's tokenizer.

A token of lower-case letters that begins a word was frequent in the tokenizer's training text. Surnames such as Smith are
hardly ever written in lower case, so they are not among them; Long, Hope and Mark are.
"""

from __future__ import annotations

import re
from pathlib import Path

import assay

TARGET = Path(__file__).parents[1] / "src" / "assay" / "studies" / "anonymity" / "lists" / "words.txt"
WORD = re.compile(r"Ġ([a-z]{3,8})")


def main() -> None:
    """Write the list."""
    vocabulary = assay.load().tokenizer.get_vocab()
    words = sorted({match[1] for token in vocabulary if (match := WORD.fullmatch(token))})
    TARGET.write_text("\n".join(words) + "\n", encoding="utf-8")
    print(f"{len(words)} words in {TARGET.name}")


if __name__ == "__main__":
    main()
