"""The same work in each library, each in its own idiom. A library that is not installed is left out.

A contestant is built around its own copy of the weights, because some libraries change what they are given. Its rows
are functions that take nothing and return the tensors that they captured, or the logits after an edit, so that the
benchmark can check that all did the same before it times them. Nothing here warms up, loads or imports while timed.
All run without a key-value cache and without gradients, and but for the two rows "alone" and "effect" all compute logits
at all positions. "one site alone" is the site and nothing else, for which each library may stop where its documentation
says how; "effect of one edit" is how far two tokens' logits are apart at the last position, which is what an edit is
made for: each library as its users ask for it, and by hand with the last position's logits alone.
"""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from side_by_side.corpora import Enough
from torch import Tensor, nn

Work = Callable[[], dict[str, Tensor]]
Rows = Mapping[str, Work]

MIDDLE = 15
"""The layer of the one site and of the one edit."""

PAIR = (10, 20)
"""The two tokens whose logits are compared."""

EVERYTHING = (
    "resid_pre", "attn_in", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "mlp_in", "mlp_pre", "mlp_up",
    "mlp_post", "mlp_out", "resid_post",
)  # fmt: skip
"""What `everything` means, in every layer: each of these tensors exists in assay, TransformerLens and nnsight."""


def assay_rows(native: nn.Module, ids: Tensor) -> Rows:
    from assay import edit, metric
    from assay.engine.model import load

    model = load(copy.deepcopy(native))
    zero = edit.zero(f"L{MIDDLE}.mlp_out", pos=-1)
    site = f"L{MIDDLE}.resid_post"
    difference = metric.logit_diff(*PAIR)
    return {
        "one site alone": lambda: dict(model.run(ids, capture=site, output=False).captured),
        "effect of one edit": lambda: {
            "effect": model.run(ids, edits=zero, metrics=difference, output=False).metrics["logit_diff"]
        },
        "one site": lambda: dict(model.run(ids, capture=f"L{MIDDLE}.resid_post").captured),
        "residual stream": lambda: dict(model.run(ids, capture="resid_post").captured),
        "everything": lambda: dict(model.run(ids, capture=EVERYTHING).captured),
        "one edit": lambda: {"logits": model.run(ids, edits=zero).logits},
    }


def measured_rows(native: nn.Module, ids: Tensor) -> Rows:
    """assay's results for keeps: experiments, labelled arrays, the model's fingerprint, what it cost."""
    from assay import capture, edit, metric
    from assay.engine.model import load
    from assay.experiments.experiment import Experiment
    from assay.experiments.runs import Run

    model = load(copy.deepcopy(native))
    zero = edit.zero(f"L{MIDDLE}.mlp_out", pos=-1)
    site = f"L{MIDDLE}.resid_post"
    prompts = {"prompts": ids.tolist()}
    alone = Experiment(inputs=prompts, runs={"main": Run(input="prompts", captures=[capture.site(site)])})
    measured = Experiment(
        inputs=prompts, runs={"main": Run(input="prompts", edits=zero)}, metrics=[metric.logit_diff(*PAIR)]
    )
    return {
        "one site alone": lambda: {site: tensor(model.measure(alone)[site])},
        "effect of one edit": lambda: {"effect": tensor(model.measure(measured)["logit_diff"])},
    }


def tensor(labelled: Any) -> Tensor:
    """The numbers of a labelled array."""
    return torch.as_tensor(labelled.values)


def effect(logits: Tensor) -> dict[str, Tensor]:
    """How far the two tokens' logits are apart at the last position."""
    return {"effect": logits[:, -1, PAIR[0]] - logits[:, -1, PAIR[1]]}


def hook_rows(native: nn.Module, ids: Tensor) -> Rows:
    """Hooks by hand: the floor. Copies are made, as everywhere else, so that later code cannot change what was kept."""
    native = copy.deepcopy(native)
    layers: Any = native.model.layers

    def captured(chosen: list[int]) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}

        def keep(layer: int) -> Callable[..., None]:
            return lambda module, args, out: kept.update({f"L{layer}.resid_post": out.clone()})

        handles = [layers[i].register_forward_hook(keep(i)) for i in chosen]
        try:
            native(input_ids=ids, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return kept

    def alone() -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}

        def keep(module: nn.Module, args: Any, out: Tensor) -> None:
            kept[f"L{MIDDLE}.resid_post"] = out.clone()
            raise Enough

        handle = layers[MIDDLE].register_forward_hook(keep)
        try:
            native(input_ids=ids, use_cache=False)
        except Enough:
            return kept
        finally:
            handle.remove()
        raise AssertionError("the layer was not run")

    def edited(**how: int) -> Tensor:
        def zero(module: nn.Module, args: Any, out: Tensor) -> Tensor:
            out = out.clone()
            out[:, -1] = 0
            return out

        handle = layers[MIDDLE].mlp.register_forward_hook(zero)
        try:
            logits: Tensor = native(input_ids=ids, use_cache=False, **how).logits
            return logits
        finally:
            handle.remove()

    return {
        "one site alone": alone,
        "effect of one edit": lambda: effect(edited(logits_to_keep=1)),
        "one site": lambda: captured([MIDDLE]),
        "residual stream": lambda: captured(list(range(len(layers)))),
        "one edit": lambda: {"logits": edited()},
    }


LENS = {
    "resid_pre": "hook_resid_pre", "attn_in": "ln1.hook_out", "q": "attn.hook_q", "k": "attn.hook_k",
    "v": "attn.hook_v", "pattern": "attn.hook_pattern", "z": "attn.hook_z", "attn_out": "hook_attn_out",
    "resid_mid": "hook_resid_mid", "mlp_in": "ln2.hook_out", "mlp_pre": "mlp.hook_pre", "mlp_up": "mlp.hook_pre_linear",
    "mlp_post": "mlp.hook_post", "mlp_out": "hook_mlp_out", "resid_post": "hook_resid_post",
}  # fmt: skip


def transformer_lens_rows(native: nn.Module, ids: Tensor) -> Rows:
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    native = copy.deepcopy(native)
    bridge = build_bridge_from_module(native, type(native).__name__, hf_config=native.config)
    bridge.eval()
    depth = len(bridge.blocks)

    def captured(sites: tuple[str, ...], layers: range | tuple[int, ...]) -> dict[str, Tensor]:
        names = {f"blocks.{i}.{LENS[site]}": f"L{i}.{site}" for i in layers for site in sites}
        _, cache = bridge.run_with_cache(ids, names_filter=list(names))
        return {ours: cache[theirs] for theirs, ours in names.items()}

    def zero(value: Tensor, hook: Any) -> Tensor:
        value[:, -1] = 0
        return value

    edit = [(f"blocks.{MIDDLE}.hook_mlp_out", zero)]
    site = f"blocks.{MIDDLE}.{LENS['resid_post']}"

    def alone() -> dict[str, Tensor]:
        _, cache = bridge.run_with_cache(ids, names_filter=[site], stop_at_layer=MIDDLE + 1)
        return {f"L{MIDDLE}.resid_post": cache[site]}

    return {
        "one site alone": alone,
        "effect of one edit": lambda: effect(bridge.run_with_hooks(ids, fwd_hooks=edit)),
        "one site": lambda: captured(("resid_post",), (MIDDLE,)),
        "residual stream": lambda: captured(("resid_post",), range(depth)),
        "everything": lambda: captured(EVERYTHING, range(depth)),
        "one edit": lambda: {"logits": bridge.run_with_hooks(ids, fwd_hooks=edit)},
    }


def nnsight_rows(native: nn.Module, ids: Tensor) -> Rows:
    from nnsight import NNsight

    wrapped = NNsight(copy.deepcopy(native))
    eager = copy.deepcopy(native)
    eager.set_attn_implementation("eager")  # the weights of attention are returned by this implementation only
    seen = NNsight(eager)
    for layer in seen.model.layers:
        _ = layer.self_attn.source.attention_interface_1  # opened beforehand: inside a trace it would come too late
    heads, width = native.config.num_attention_heads, native.config.head_dim

    def one() -> dict[str, Tensor]:
        with wrapped.trace(ids, use_cache=False):
            kept = wrapped.model.layers[MIDDLE].output.save()
        return {f"L{MIDDLE}.resid_post": kept}

    def alone() -> dict[str, Tensor]:
        with wrapped.trace(ids, use_cache=False) as tracer:
            kept = wrapped.model.layers[MIDDLE].output.save()
            tracer.stop()
        return {f"L{MIDDLE}.resid_post": kept}

    def stream() -> dict[str, Tensor]:
        with wrapped.trace(ids, use_cache=False):
            kept = {f"L{i}.resid_post": layer.output for i, layer in enumerate(wrapped.model.layers)}.save()
        return kept  # noqa: RET504 (nnsight runs the trace's body elsewhere)

    def everything() -> dict[str, Tensor]:
        with seen.trace(ids, use_cache=False):
            kept = dict().save()  # noqa: C408 (a literal has no save)
            for i, layer in enumerate(seen.model.layers):
                kept[f"L{i}.resid_pre"] = layer.input
                kept[f"L{i}.attn_in"] = layer.input_layernorm.output
                attention = layer.self_attn
                kept[f"L{i}.q"] = attention.q_proj.output.unflatten(-1, (-1, width))
                kept[f"L{i}.k"] = attention.k_proj.output.unflatten(-1, (-1, width))
                kept[f"L{i}.v"] = attention.v_proj.output.unflatten(-1, (-1, width))
                kept[f"L{i}.pattern"] = attention.source.attention_interface_1.output[1]
                kept[f"L{i}.z"] = attention.o_proj.input.unflatten(-1, (heads, width))
                kept[f"L{i}.attn_out"] = attention.o_proj.output
                kept[f"L{i}.resid_mid"] = layer.post_attention_layernorm.input
                kept[f"L{i}.mlp_in"] = layer.post_attention_layernorm.output
                kept[f"L{i}.mlp_pre"] = layer.mlp.gate_proj.output
                kept[f"L{i}.mlp_up"] = layer.mlp.up_proj.output
                kept[f"L{i}.mlp_post"] = layer.mlp.down_proj.input
                kept[f"L{i}.mlp_out"] = layer.mlp.output
                kept[f"L{i}.resid_post"] = layer.output
        return kept

    def edited() -> dict[str, Tensor]:
        with wrapped.trace(ids, use_cache=False):
            wrapped.model.layers[MIDDLE].mlp.output[:, -1] = 0
            logits = wrapped.output.logits.save()
        return {"logits": logits}

    return {
        "one site": one, "residual stream": stream, "everything": everything, "one edit": edited,
        "one site alone": alone, "effect of one edit": lambda: effect(edited()["logits"]),
    }  # fmt: skip


def pyvene_rows(native: nn.Module, ids: Tensor) -> Rows:
    import pyvene

    native = copy.deepcopy(native)
    batch, length = ids.shape
    depth = native.config.num_hidden_layers

    def collecting(layers: list[int]) -> Work:
        config = [
            {"layer": i, "component": "block_output", "intervention_type": pyvene.CollectIntervention,
             "max_number_of_units": length}
            for i in layers
        ]  # fmt: skip
        model = pyvene.IntervenableModel(config, model=native)
        everywhere = {"base": [[list(range(length))] * batch] * len(layers)}

        def run() -> dict[str, Tensor]:
            (_, kept), _ = model({"input_ids": ids, "use_cache": False}, unit_locations=everywhere)
            return {f"L{i}.resid_post": value for i, value in zip(layers, kept, strict=True)}

        return run

    zero = {"layer": MIDDLE, "component": "mlp_output", "intervention_type": pyvene.ZeroIntervention}
    editing = pyvene.IntervenableModel(zero, model=native)

    def edited() -> dict[str, Tensor]:
        _, out = editing({"input_ids": ids, "use_cache": False}, unit_locations={"base": length - 1})
        return {"logits": out.logits}

    return {
        "one site": collecting([MIDDLE]),
        "one site alone": collecting([MIDDLE]),
        "residual stream": collecting(list(range(depth))),
        "one edit": edited,
        "effect of one edit": lambda: effect(edited()["logits"]),
    }


BUILDERS: Mapping[str, tuple[str, Callable[[nn.Module, Tensor], Rows]]] = {
    "hooks by hand": ("torch", hook_rows),
    "assay": ("assay", assay_rows),
    "assay, for keeps": ("assay", measured_rows),
    "TransformerLens": ("transformer_lens", transformer_lens_rows),
    "nnsight": ("nnsight", nnsight_rows),
    "pyvene": ("pyvene", pyvene_rows),
}


def contestants(native: nn.Module, ids: Tensor, *, only: tuple[str, ...] = ()) -> dict[str, Rows]:
    """Rows of every library that is installed, by its name."""
    chosen = {name: builder for name, builder in BUILDERS.items() if not only or name in only}
    return built(chosen, native, ids)


def built(builders: Mapping[str, tuple[str, Callable[..., Any]]], *given: Any) -> dict[str, Any]:
    """What builds for each library, by name: a module that must be there, and a function. Absent ones are left out."""
    found = {}
    for name, (module, build) in builders.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except ImportError:
            continue
        found[name] = build(*given)
    return found


def quiet() -> None:
    """No gradients, and no warnings of other libraries between the rows."""
    warnings.simplefilter("ignore")
    torch.set_grad_enabled(False)
