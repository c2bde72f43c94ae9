"""What goes wrong inside transformers while loading, told in one line that says what to do."""

from __future__ import annotations

import os

import torch
from safetensors import SafetensorError

from assay.core.errors import AssayError, LoadError, MissingExtraError, UnsafeError

# torch.load(weights_only=True) refuses with an error of its own module for pickles
_REFUSED: type[Exception] = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_NO_NETWORK = (
    "offline mode",
    "couldn't connect",
    "Can't load",
    "Connection error",
    "outgoing traffic",
    "Max retries",
    "local_files_only",
)
_FAILURES = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    EOFError,
    SafetensorError,
    _REFUSED,
)


class told_clearly:
    """While it lasts, a failure of the libraries below comes out as one AssayError, with the first one as its cause."""

    def __init__(self, what: str, part: str = "the model") -> None:
        self.what = what
        self.part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, AssayError) or not isinstance(error, Exception):
            return
        # tokenizers, written in Rust, raises plain `Exception`; a subclass that is not listed is a bug and passes
        if isinstance(error, _FAILURES) or kind is Exception:
            raise _translated(error, self.what, self.part) from error


def _translated(error: Exception, what: str, part: str) -> AssayError:
    text = str(error)
    if "trust_remote_code" in text:
        return UnsafeError(
            f"{what!r} needs Python code from its own repository, which assay does not run by default: it could do "
            "anything that you can do. Read that code, pin its revision, then load with trust_remote_code=True "
            "(--trust-remote-code)."
        )
    if isinstance(error, _REFUSED):
        return UnsafeError(
            f"{what!r} holds a pickle with more than weights in it, which could run code: refused. "
            "Ask for a safetensors version of it."
        )
    if isinstance(error, ImportError) or "requires the following packages" in text or "is required" in text:
        return MissingExtraError(f"Cannot load {part} of {what!r}: a package is missing. {_first(text)}")
    if "not a local folder and is not a valid model identifier" in text or "Repo id must" in text:
        return LoadError(f"No folder, file or hub repository is called {what!r} (or it is private: give a token).")
    if "not recognize this architecture" in text or "Unrecognized model" in text:
        return LoadError(f"This version of transformers has no code for the architecture of {what!r}. {_first(text)}")
    if any(sign in text for sign in _NO_NETWORK):
        offline = " HF_HUB_OFFLINE is set in this environment." if _offline() else ""
        return LoadError(
            f"{what!r} is no local folder or file, and the hub cannot be asked for it.{offline} "
            "Give a path, or fetch it once with a network."
        )
    return LoadError(f"Cannot load {part} of {what!r}: {_first(text) or type(error).__name__}")


def _offline() -> bool:
    return any(os.environ.get(name, "0").lower() not in ("", "0", "false") for name in _OFFLINE)


def _first(text: str) -> str:
    """The first sentence or two of a long message."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "..."
