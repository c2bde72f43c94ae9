"""Attribution patching in each library: (other value − value) · gradient for every head and MLP at every position.

One forward and backward pass, and one forward pass of the other prompt. By hand only what is needed gets a gradient; in
TransformerLens and nnsight `backward` is called as in their documentation, which computes gradients of the weights too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from side_by_side import by_nnsight, by_transformer_lens
from side_by_side.by_hooks import HookLoop, hooked
from side_by_side.sweep_rows import Part
from torch import Tensor, nn

Scores = dict[str, Tensor]
SITES = ("z", "mlp_out")


def scores(native: Any, here: dict[str, Tensor], there: dict[str, Tensor], grads: dict[str, Tensor]) -> Scores:
    """[layers, positions, heads] and [layers, positions] from tensors by `L3.z`, heads side by side or apart."""
    found: Scores = {}
    for site in SITES:
        names = [f"L{i}.{site}" for i in range(len(native.model.layers))]
        product = torch.stack([((there[n] - here[n]) * grads[n])[0].flatten(1) for n in names]).detach()
        found[site] = product.unflatten(-1, (-1, native.config.head_dim)).sum(-1) if site == "z" else product.sum(-1)
    return found


def by_assay(model: Any, part: Part, *, engine: Any) -> Scores:
    from assay import Experiment, Run, capture, metric

    difference = metric.logit_diff(part.answer.tolist(), part.wrong.tolist())
    gradients = [capture.grad(site, of=difference) for site in SITES]
    experiment = Experiment(
        inputs={"clean": part.clean.tolist(), "corrupt": part.corrupt.tolist()},
        runs={
            "here": Run(input="clean", captures=[*SITES, *gradients]),
            "there": Run(input="corrupt", captures=list(SITES)),
        },
        main="here",
    )
    result = model.measure(experiment, engine=engine)
    names = [f"L{i}.{site}" for i in range(model.n_layers) for site in SITES]
    arrays = result.data.variables
    read = lambda start: {n: torch.from_numpy(arrays[f"{start}{n}"].values) for n in names}  # noqa: E731
    return scores(model.native, read(""), read("there."), read("grad."))


def by_hand(native: nn.Module, part: Part) -> Callable[[], Scores]:
    loop = HookLoop(native)
    loop.native.requires_grad_(False)
    places = [(site, i) for i in range(len(loop.native.model.layers)) for site in SITES]

    def run() -> Scores:
        there = loop.captured(part.corrupt, [f"L{i}.{site}" for site, i in places])
        here: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[Tensor], Tensor]:
            def kept(value: Tensor) -> Tensor:
                here[name] = value if value.requires_grad else value.requires_grad_()
                return here[name]

            return kept

        with torch.enable_grad(), hooked(loop.native, [(site, i, keep(f"L{i}.{site}")) for site, i in places]):
            score = part.score(loop.run(part.clean)).sum()
            found = torch.autograd.grad(score, list(here.values()))
        return scores(loop.native, here, there, dict(zip(here, found, strict=True)))

    return run


def by_lens(native: nn.Module, part: Part) -> Callable[[], Scores]:
    bridge = by_transformer_lens.build(native)
    theirs = {
        f"L{i}.{site}": by_transformer_lens.theirs(f"L{i}.{site}") for i in range(len(bridge.blocks)) for site in SITES
    }
    wanted = list(theirs.values())

    def run() -> Scores:
        _, cache = bridge.run_with_cache(part.corrupt, names_filter=wanted)
        here: dict[str, Tensor] = {}
        grads: dict[str, Tensor] = {}

        def keeper(kept: dict[str, Tensor], name: str) -> Callable[[Tensor, Any], None]:
            return lambda value, hook: kept.update({name: value.detach()})

        forward, backward = ([(name, keeper(kept, name)) for name in wanted] for kept in (here, grads))
        with torch.enable_grad(), bridge.hooks(forward, backward):
            part.score(bridge(part.clean)[:, -1]).sum().backward()
        bridge.zero_grad()
        ours = lambda kept: {n: kept[t] for n, t in theirs.items()}  # noqa: E731
        return scores(native, ours(here), ours(cache), ours(grads))

    return run


def by_traces(native: nn.Module, part: Part) -> Callable[[], Scores]:
    loop = by_nnsight.NNsightLoop(native)
    loop.wrapped._module.requires_grad_(True)
    depth = len(native.model.layers)
    places = [(site, i) for i in range(depth) for site in SITES]

    def run() -> Scores:
        there = loop.captured(part.corrupt, [f"L{i}.{site}" for site, i in places])
        with torch.enable_grad(), loop.wrapped.trace(part.clean, use_cache=False):
            here = dict().save()  # noqa: C408 (a literal has no save)
            grads = dict().save()  # noqa: C408
            for site, i in places:
                here[f"L{i}.{site}"] = loop.at(site, i)
            score = part.score(loop.wrapped.output.logits[:, -1]).sum()
            with score.backward():
                for site, i in reversed(places):
                    grads[f"L{i}.{site}"] = here[f"L{i}.{site}"].grad
        loop.wrapped._module.zero_grad()
        return scores(native, here, there, grads)

    return run
