"""What a model is, as plain data: architecture, sizes, memory, tokenizer, sites, and why others are absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.engine.model import Model


def describe(model: Model) -> dict[str, Any]:
    """Everything that `assay load` shows, ready for JSON."""
    source = model.network.source
    return {
        "name": source.name,
        "class": type(model.native).__name__,
        "model_type": getattr(model.config, "model_type", None),
        "source": {
            "asked": source.asked,
            "kind": source.kind,
            "revision": source.revision,
            "facts": list(source.facts),
        },
        "fingerprint": model.fingerprint,
        "dtype": source.dtype,
        "device": str(model.device),
        "sizes": _sizes(model),
        "memory": _memory(model),
        "tokenizer": _tokenizer(model.tokenizer),
        "sites": _present(model),
        "absent": _absent(model),
    }


def _sizes(model: Model) -> dict[str, Any]:
    """The numbers that say how large a model is; those that it does not have are left out."""
    config = getattr(model.config, "get_text_config", lambda: model.config)()
    names = {
        "d_mlp": ("intermediate_size", "n_inner", "ffn_dim", "d_ff"),
        "kv_heads": ("num_key_value_heads",),
        "context": ("max_position_embeddings", "n_positions", "seq_length"),
        "vocabulary": ("vocab_size",),
    }
    found: dict[str, Any] = {"layers": model.n_layers, "d_model": model.d_model, "heads": model.n_heads}
    for label, candidates in names.items():
        found[label] = next((v for name in candidates if isinstance(v := getattr(config, name, None), int)), None)
    return {label: value for label, value in found.items() if value}


def _memory(model: Model) -> dict[str, int]:
    """Parameters, counted once where they are tied, and the bytes that weights and buffers take."""
    parameters = list(model.native.parameters())
    tensors = [*parameters, *model.native.buffers()]
    return {
        "parameters": sum(parameter.numel() for parameter in parameters),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    }


def _tokenizer(tokenizer: Any) -> dict[str, Any] | None:
    if tokenizer is None:
        return None
    bare, full = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    return {
        "class": type(tokenizer).__name__,
        "vocabulary": len(tokenizer),
        "bos": tokenizer.bos_token,
        "eos": tokenizer.eos_token,
        "pad": tokenizer.pad_token,
        "adds": len(full) - len(bare),
        "chat_template": bool(tokenizer.chat_template),
    }


def _present(model: Model) -> list[dict[str, Any]]:
    """One row for each site name of each stack, in forward order, with the layers that have it."""
    rows: dict[tuple[str | None, str, tuple[str, ...]], dict[str, Any]] = {}
    for site in model.sites:
        key = (
            site.name.stack,
            site.name.name,
            tuple(f"{axis} {site.sizes.get(axis, '')}".strip() for axis in site.axes),
        )
        row = rows.setdefault(
            key,
            {
                "name": site.name.name if site.name.stack is None else f"{site.name.stack}.{site.name.name}",
                "layers": [],
                "axes": list(site.axes),
                "sizes": dict(site.sizes),
                "writable": site.writable,
            },
        )
        row["writable"] = row["writable"] and site.writable
        if site.layer is not None:
            row["layers"].append(site.layer)
    return list(rows.values())


def _absent(model: Model) -> list[dict[str, Any]]:
    """One row for each site name and reason."""
    rows: dict[tuple[str | None, str, str], dict[str, Any]] = {}
    for name, reason in model.network.structure.reasons.items():
        label = name.name if name.stack is None else f"{name.stack}.{name.name}"
        row = rows.setdefault((name.stack, name.name, reason), {"name": label, "layers": [], "reason": reason})
        if name.layer is not None:
            row["layers"].append(name.layer)
    return list(rows.values())
