"""`load_native`: get a network from anywhere, unchanged, with a record of where it came from.

Weights are never converted, folded or renamed. The network is put into evaluation mode; whether its weights require
gradients is left as it is. Nothing goes to a model hub unless a hub id is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn
from transformers.utils import cached_file

from assay.core.errors import InputError, LoadError, UnsafeError, nearest
from assay.models.companions import load_tokenizer
from assay.models.complaints import told_clearly
from assay.models.embedded import load_embedded
from assay.models.gguf_file import load_gguf
from assay.models.pretrained import dtype_name, load_pretrained
from assay.models.source import Loaded, More, Request, Source

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".h5", ".msgpack")


def load_native(
    what: str | Path | nn.Module | None = None,
    *,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: Any = None,
    quantization: Any = None,
    trust_remote_code: bool = False,
    **more: Unpack[More],
) -> Loaded:
    """Load a network: the embedded one, a hub id, a folder, a GGUF file, or a module that is already there.

    `what`: nothing: the embedded SmolLM2-135M-Instruct. A path to a folder or to a `.gguf` file; otherwise the id of a
    repository on the hub. Or a module, which is used as it is, never copied.
    `revision`: branch, tag or commit of a hub repository (Pythia's `"step3000"`, say).
    `dtype`: by default what the checkpoint is stored in; `device`: where to put it; `device_map` and `quantization` go
    to transformers as they are.
    `trust_remote_code`: run Python code from the model's repository. **That code can do anything that you can do**:
    read your files, use your keys. Leave it off unless you have read the code, and then pin `revision` to a commit.

    See `More` for the other options.

    >>> load_native().source.name                                                         # doctest: +SKIP
    'SmolLM2-135M-Instruct'
    """
    _refuse_unknown(more)
    if device is not None and device_map is not None:
        raise LoadError("device and device_map contradict each other: give one of them.")
    request = Request(
        what=what,
        revision=revision,
        dtype=as_dtype(dtype),
        device=as_device(device),
        device_map=device_map,
        quantization=quantization,
        trust_remote_code=trust_remote_code,
        more=more,
    )
    return _settled(_from_anywhere(request), request)


def as_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """A dtype by name (`"bfloat16"`, `"torch.float32"`); `None` or `"auto"` is what the checkpoint has."""
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        return None
    found = getattr(torch, dtype.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise LoadError(f"There is no dtype {dtype!r}.{nearest(dtype, ('float32', 'bfloat16', 'float16', 'float64'))}")
    return found


def as_device(device: str | torch.device | None) -> torch.device | None:
    """A device by name, looked up on this machine, so that a missing one is told before anything is read."""
    if device is None:
        return None
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise LoadError(f"There is no device {str(device)!r} here: {str(error).splitlines()[0]}") from error
    return found


def _from_anywhere(request: Request) -> Loaded:
    match request.what:
        case None:
            _refuse(request, "the embedded model", "revision")
            return load_embedded(request)
        case nn.Module() as native:
            return _from_object(native, request)
        case Path() | str() as place:
            return _from_place(str(place), request)
        case other:
            raise InputError(f"Cannot load a {type(other).__name__}: expected a hub id, a path, a module, or nothing.")


def _from_place(place: str, request: Request) -> Loaded:
    path = Path(place).expanduser()
    if path.is_file():
        return _from_file(path, request)
    if path.is_dir():
        return _from_folder(path, request)
    if _looks_like_a_path(place):
        raise LoadError(f"{place!r} does not exist: expected a folder, a .gguf file, or the id of a hub repository.")
    if "gguf_file" in request.more:
        with told_clearly(place):
            options = {name: value for name, value in request.reading().items() if name != "trust_remote_code"}
            found = cached_file(place, request.more["gguf_file"], **options)
        return _asked(load_gguf(Path(str(found)), request), place)
    return load_pretrained(place, "hub", request)


def _from_file(path: Path, request: Request) -> Loaded:
    _refuse(request, "a file", "revision")
    if path.suffix == ".gguf":
        return load_gguf(path, request)
    if path.suffix == ".safetensors":
        raise LoadError(f"{path} holds weights alone: give its folder, with the config.json that says what they are.")
    if path.suffix in PICKLES:
        raise UnsafeError(
            f"{path} is a pickle or another format that can carry code: refused. "
            "Give a folder with config.json and safetensors, a GGUF file, or the module itself."
        )
    raise LoadError(f"{path} is not a model: expected a folder with a config.json, or a .gguf file.")


def _from_folder(path: Path, request: Request) -> Loaded:
    _refuse(request, "a local folder", "revision")
    inside = path / request.more.get("subfolder", "")
    if "gguf_file" in request.more:
        return _from_place(str(inside / request.more["gguf_file"]), request)
    if (inside / "config.json").is_file() or (inside / "adapter_config.json").is_file():
        return load_pretrained(str(path), "folder", request)
    files = sorted(inside.glob("*.gguf"))
    if len(files) == 1:
        return load_gguf(files[0], request)
    if files:
        names = ", ".join(file.name for file in files[:5])
        raise LoadError(f"{inside} has {len(files)} GGUF files: name one of {names}.")
    raise LoadError(f"{inside} is not a model folder: it has no config.json and no .gguf file.")


def _from_object(native: nn.Module, request: Request) -> Loaded:
    _refuse(request, "a module that is already loaded", "revision", "dtype", "device", "device_map", "quantization")
    config = getattr(native, "config", None)
    name = Path(str(getattr(config, "_name_or_path", "") or "")).name or type(native).__name__
    facts = (f"a {type(native).__module__}.{type(native).__qualname__} that was given, used as it is",)
    source = Source(asked=type(native).__name__, kind="object", name=name, dtype=dtype_name(native), facts=facts)
    tokenizer = load_tokenizer("", request) if "tokenizer" in request.more else None
    return Loaded(native, tokenizer, request.more.get("processor"), source)


def _settled(loaded: Loaded, request: Request) -> Loaded:
    """On its device, in evaluation mode, and each change on the record."""
    native, facts = loaded.native, []
    if any(module.training for module in native.modules()):
        native.eval()
        if loaded.source.kind == "object":
            facts.append("was in training mode: put into evaluation mode")
    if request.device is not None:
        with told_clearly(loaded.source.name, "onto the device"):
            native.to(request.device)
        facts.append(f"on {request.device}")
    if request.device_map is not None:
        facts.append(f"spread over devices by device_map={request.device_map!r}")
    source = replace(loaded.source.adding(*facts), options=request.again(loaded.source.kind))
    return replace(loaded, source=source)


def _asked(loaded: Loaded, place: str) -> Loaded:
    return replace(loaded, source=replace(loaded.source, asked=place))


def _refuse_unknown(more: Mapping[str, Any]) -> None:
    """An option that is not known would have no effect, so it is an error."""
    unknown = [name for name in more if name not in More.__annotations__]
    if unknown:
        known = (
            "dtype",
            "device",
            "device_map",
            "quantization",
            "revision",
            "trust_remote_code",
            *More.__annotations__,
        )
        raise LoadError(f"There is no option {unknown[0]!r} for loading.{nearest(unknown[0], known)}")


def _refuse(request: Request, kind: str, *options: str) -> None:
    given = [name for name in options if getattr(request, name) is not None]
    if given:
        raise LoadError(f"{' and '.join(given)} cannot be chosen for {kind}: leave it out.")


def _looks_like_a_path(place: str) -> bool:
    starts = place.startswith(("/", ".", "~")) or place.count("/") > 1 or "\\" in place
    return starts or place.endswith((".gguf", ".safetensors", *PICKLES)) or not place.strip()
