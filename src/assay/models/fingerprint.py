"""The fingerprint of a model: one hash of what it computes with, recorded in every result.

It covers the class, the configuration without what varies between two loads of the same model (paths, the library's
version, the attention kernel), and every parameter and persistent buffer: name, dtype, shape and bytes. So it is the
same after saving and loading, in another process, on another device, and whether equal weights are tied or kept twice;
it differs as soon as one weight, its dtype or a setting differs.

Weights are hashed one tensor at a time, never all in memory: 538 MB take about 0.4 s on two cores.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.codec import canonical, digest
from assay.core.errors import InputError
from assay.models.offloaded import stored
from assay.models.sharded import is_parted, whole

# what a load or a save writes into a configuration without changing the function
VOLATILE = frozenset(
    {
        "architectures",  # written on saving; the class is hashed instead
        "attn_implementation",
        "auto_map",
        "dtype",  # each tensor's own dtype is hashed
        "experts_implementation",
        "name_or_path",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)


def fingerprint(native: nn.Module) -> str:
    """`"sha256:..."` of the model's class, configuration and weights.

    >>> fingerprint(nn.Linear(2, 2)) == fingerprint(nn.Linear(2, 2))        # other random weights
    False
    """
    return digest(
        {
            "format": 1,
            "class": type(native).__qualname__,
            "config": config_content(native),
            "weights": dict(_weights(native)),
        }
    )


def stamp(native: nn.Module) -> object:
    """Something that is another one when weights were changed in place, moved or replaced, or the configuration was.

    Cost: a look at each tensor, none at its numbers. Not seen are changes past torch's count of writes, as through
    `.data` or NumPy.
    """
    return [_written(tensor) for tensor in _state(native)], _known_content(native)


_CONTENTS: WeakKeyDictionary[nn.Module, tuple[dict[str, Any], Any]] = WeakKeyDictionary()
"""Configurations as they were when they were last written out, and their contents."""


def _known_content(native: nn.Module) -> Any:
    """`config_content`, written out again only when a setting has changed."""
    config = getattr(native, "config", None)
    if not hasattr(config, "to_diff_dict"):
        return config_content(native)
    before = _CONTENTS.get(native)
    try:
        if before is not None and before[0] == vars(config):
            return before[1]
        settings = copy.deepcopy(vars(config))
    except (RuntimeError, ValueError, TypeError):  # a setting that can't be compared or copied, as a tensor
        return config_content(native)
    content = config_content(native)
    _CONTENTS[native] = settings, content
    return content


def _state(native: nn.Module) -> Iterator[Tensor]:
    """What `state_dict` holds of tensors, without its names: in about half the time, and every result asks for it."""
    left, seen = [native], {native}
    while left:
        module = left.pop()
        yield from (tensor for tensor in module._parameters.values() if tensor is not None)
        for name, tensor in module._buffers.items():
            if tensor is not None and name not in module._non_persistent_buffers_set:
                yield tensor
        parts = {part for part in module._modules.values() if part is not None} - seen
        seen |= parts
        left += parts


def _written(tensor: Tensor) -> tuple[object, ...]:
    kind = type(tensor)
    packed = kind is not nn.Parameter and kind is not Tensor
    version = None if tensor.is_inference() else tensor._version
    return id(tensor), version, tensor.dtype, tensor.device, None if packed else tensor.data_ptr()


def config_content(native: nn.Module) -> Any:
    """The configuration as JSON data without its volatile parts; `None` for a module that has none."""
    config: Any = getattr(native, "config", None)
    if hasattr(config, "to_diff_dict"):
        config = config.to_diff_dict()
    elif dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    return _settled(config) if isinstance(config, dict) else None


def _settled(value: Any) -> Any:
    """JSON data, volatile keys left out at every depth; a value that has no JSON form counts by its type alone."""
    match value:
        case dict():
            kept = {str(key): item for key, item in value.items() if not _is_volatile(str(key), item)}
            return {key: _settled(item) for key, item in kept.items()}
        case list() | tuple():
            return [_settled(item) for item in value]
        case set() | frozenset():
            return sorted((_settled(item) for item in value), key=canonical)
        case float():
            return value if abs(value) < float("inf") else repr(value)  # infinities and NaN have no JSON form
        case None | bool() | int() | str():
            return value
        case torch.dtype() | torch.device():
            return str(value)
        case _:
            return f"<{type(value).__qualname__}>"


def _is_volatile(key: str, value: Any) -> bool:
    if key == "quantization_config":  # a GGUF file's weights were unpacked: the tensors tell all
        return isinstance(value, dict) and value.get("quant_method") == "gguf"
    return key.startswith("_") or key in VOLATILE


def _weights(native: nn.Module) -> Iterator[tuple[str, str]]:
    """Name and hash of each tensor in the state; one that several names share is read once."""
    state = {name: value for name, value in native.state_dict().items() if isinstance(value, Tensor)}
    once = {_place(name, tensor): name for name, tensor in state.items()}
    with ThreadPoolExecutor(max_workers=2) as pool:  # hashing releases the interpreter's lock
        # parts of other processes are fetched here, in order: each process must ask for the same at the same time
        present = (whole(state[name]) if is_parted(state[name]) else state[name] for name in once.values())
        found = pool.map(lambda each: tensor_hash(_present(native, *each)), zip(once.values(), present, strict=True))
        hashes = dict(zip(once, found, strict=True))
    for name, tensor in state.items():
        yield name, hashes[_place(name, tensor)]


def _present(native: nn.Module, name: str, tensor: Tensor) -> Tensor:
    """The tensor itself; one that is offloaded is read for the moment."""
    found = stored(native, name) if tensor.is_meta else tensor
    if found is None:
        raise InputError(
            f"{type(native).__name__} has no weights to fingerprint: {name} is on the meta device. Load the weights first."
        )
    return found


def _place(name: str, tensor: Tensor) -> tuple[object, ...]:
    if tensor.is_meta:
        return (name,)
    if type(tensor) is not Tensor and hasattr(tensor, "__tensor_flatten__"):
        return (id(tensor),)
    return (
        tensor.device,
        tensor.data_ptr(),
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
        id(tensor) * (not tensor.numel()),
    )


def tensor_hash(tensor: Tensor) -> str:
    """Hash of dtype, shape and bytes in row-major order, wherever the tensor lies."""
    if type(tensor) is not Tensor and hasattr(tensor, "__tensor_flatten__"):  # packed weights: hash what they hold
        names, _ = tensor.__tensor_flatten__()
        inner = {name: tensor_hash(getattr(tensor, name)) for name in names}
        return digest({"class": type(tensor).__qualname__, "shape": list(tensor.shape), "parts": inner})
    state = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
    plain = tensor.detach().to("cpu").contiguous().reshape(-1)
    if plain.numel():
        state.update(plain.view(torch.uint8).numpy().data)
    return state.hexdigest()
