"""What other libraries' models have and this one calls otherwise: told where somebody asks for it by its name there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assay.core.errors import nearest

ELSEWHERE: Mapping[str, str] = {
    "run_with_cache": "model.run(inputs, capture=['resid_pre', 'L5.pattern', …])",
    "run_with_hooks": "model.run(inputs, edits=edit.call(site, function)), or edits as data: edit.zero, edit.patch, …",
    "add_hook": "with model.hooked({site: function}):",
    "hooks": "with model.hooked({site: function}):",
    "hook_dict": "model.sites",
    "to_tokens": "model.tokens(text).rows",
    "to_str_tokens": "model.tokens(text).strings(model.tokenizer)",
    "to_string": "model.tokenizer.decode(ids)",
    "to_single_token": "model.tokens(text).rows",
    "tokens_to_residual_directions": "model.native.get_output_embeddings().weight[ids]",
    "cfg": "model.n_layers, model.n_heads, model.d_model, model.config",
    "forward": "model.run(inputs).logits, or model.native for the model itself",
    "W_E": "model.native.get_input_embeddings().weight",
    "W_U": "model.native.get_output_embeddings().weight.T",
    "trace": "model.run(inputs, capture=…, edits=…)",
    "lm_head": "model.native.lm_head",
    "model": "model.native",
    "transformer": "model.native.transformer",
}
"""By name in TransformerLens, nnsight or transformers: what does it here."""


def missing(name: str, known: Iterable[str]) -> str:
    """What to say of an attribute that a model does not have."""
    if name in ELSEWHERE:
        return f"a Model has no {name!r}: here it is {ELSEWHERE[name]} (docs/peers.md)."
    own = [each for each in known if not each.startswith("_")]
    return f"a Model has no {name!r}.{nearest(name, own)}"
