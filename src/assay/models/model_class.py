"""Which class of transformers a checkpoint is loaded as.

The class that the checkpoint's configuration names is the one that it was saved from, so that is what it is. A
configuration that names none gets the class with a language-modelling (or classification) head for its type; what has
no such head gets the bare network. `model_class` overrides.
"""

from __future__ import annotations

from typing import Any

import transformers
from torch import nn
from transformers.models.auto import modeling_auto

from assay.core.errors import LoadError, UnsafeError, nearest

# without a named class: the first of these that knows the configuration's type. BERT is in the causal mapping too
_BY_TYPE = (
    ("MODEL_FOR_MASKED_LM_MAPPING", "a masked language model"),
    ("MODEL_FOR_CAUSAL_LM_MAPPING", "a causal language model"),
    ("MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING", "a model of images and text"),
    ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", "an image classifier"),
    ("MODEL_MAPPING", "the bare network"),
)
_REMOTE = (
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoModelForMaskedLM",
    "AutoModelForImageTextToText",
    "AutoModel",
)


def choose_class(config: Any, *, asked: str | None, trusted: bool) -> tuple[Any, str]:
    """The class, with `from_pretrained`, and a fact that says why it is this one."""
    if asked is not None:
        return _named(asked), f"loaded as {asked}, as asked"
    names = getattr(config, "architectures", None) or []
    for name in names:
        if (found := _native(name)) is not None:
            return found, f"loaded as {name}, as its configuration says"
    remote = getattr(config, "auto_map", None) or {}
    if remote:
        return _remote(remote, names, trusted)
    return _by_type(config, names)


def _native(name: str) -> type[nn.Module] | None:
    found = getattr(transformers, name, None)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None


def _named(name: str) -> Any:
    found = getattr(transformers, name, None)
    if found is None or not hasattr(found, "from_pretrained"):
        known = [each for each in dir(transformers) if each.endswith(("Model", "ForCausalLM", "ForMaskedLM"))]
        raise LoadError(f"transformers has no model class {name!r}.{nearest(name, known)}")
    return found


def _remote(auto_map: dict[str, str], names: list[str], trusted: bool) -> tuple[Any, str]:
    wanted = next((name for name in _REMOTE if name in auto_map), None)
    if wanted is None:
        raise LoadError(
            f"The repository's own code offers {', '.join(auto_map)}: none of them is a model class that is known here."
        )
    if not trusted:
        raise UnsafeError(
            f"{' or '.join(names) or 'This model'} is Python code in its own repository, which assay does not run by "
            "default: it could do anything that you can do. Read that code, pin its revision, then load with "
            "trust_remote_code=True (--trust-remote-code)."
        )
    return getattr(transformers, wanted), f"loaded as {auto_map[wanted]}: code from its own repository was run"


def _by_type(config: Any, names: list[str]) -> tuple[Any, str]:
    mappings = list(_BY_TYPE)
    if getattr(config, "is_encoder_decoder", False):
        mappings.insert(0, ("MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING", "an encoder-decoder language model"))
    why = f"{' or '.join(names)} is unknown to transformers" if names else "its configuration names no class"
    for mapping, kind in mappings:
        known = getattr(modeling_auto, mapping)
        if type(config) in known:
            found = known[type(config)]
            found = found[0] if isinstance(found, tuple) else found
            return found, f"loaded as {found.__name__}, {kind}: {why}"
    raise LoadError(
        f"transformers has no model for a {type(config).__name__}: {why}. Give model_class=, or the module itself."
    )
