"""What lies beside the weights: the tokenizer, and for models that see or hear, the processor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import cached_file

from assay.core.errors import LoadError
from assay.core.extras import has
from assay.models.complaints import told_clearly
from assay.models.source import Request

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


def load_tokenizer(place: str, request: Request, *, gguf_file: str | None = None) -> PreTrainedTokenizerBase | None:
    """The tokenizer that was given, or the model's own; None when it has none. One that is there must load."""
    given = request.more.get("tokenizer")
    if given is False:
        return None
    if given is not None:
        return _checked(given)
    if gguf_file is None and not _there(place, TOKENIZER_FILES, request):
        return None
    options = {"gguf_file": gguf_file} if gguf_file else {}
    with told_clearly(place, "the tokenizer"):
        return _checked(AutoTokenizer.from_pretrained(place, **options, **request.reading()))


def load_processor(place: str, request: Request) -> tuple[Any, tuple[str, ...]]:
    """The processor of images or sound, when the model has one and what it needs is installed; and facts about it."""
    if "processor" in request.more:
        return request.more["processor"], ()
    if not _there(place, PROCESSOR_FILES, request):
        return None, ()
    if not has("PIL"):
        return None, ("its processor was not loaded: pip install 'assay[vision]'",)
    whole = _there(place, (*PROCESSOR_FILES[:1], *TOKENIZER_FILES), request)
    kind = AutoProcessor if whole else AutoImageProcessor
    with told_clearly(place, "the processor"):
        return kind.from_pretrained(place, **request.reading()), ()


def _checked(tokenizer: Any) -> PreTrainedTokenizerBase:
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise LoadError(
            f"The tokenizer is a {type(tokenizer).__name__}: expected one of transformers' tokenizers, or False."
        )
    return tokenizer


def _there(place: str, names: tuple[str, ...], request: Request) -> bool:
    """Whether the folder or repository has one of these files. Missing ones raise nothing."""
    folder = Path(place) / request.more.get("subfolder", "")
    if folder.is_dir():
        return any((folder / name).is_file() for name in names)
    return any(_found(place, name, request) for name in names)


def hub_commit(place: str, request: Request) -> str | None:
    """The commit that a hub repository's revision stood for when it was fetched; None when nothing tells."""
    for name in ("config.json", "adapter_config.json"):
        path = Path(_found(place, name, request) or "").as_posix()
        if match := re.search(r"/models--[^/]+/snapshots/([^/]+)/", path):
            return match[1]
    return None


def _found(place: str, name: str, request: Request) -> str | None:
    """Where a file of a hub repository lies on this machine; None when there is none."""
    options = request.reading()
    options.pop("trust_remote_code")
    quiet = {
        "_raise_exceptions_for_gated_repo": False,
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    found: str | None = cached_file(place, name, **options, **quiet)
    return found
