"""The schedule gives the naive engine's numbers from less work, on every kind of architecture; and says where it can't."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.conformance import zoo
from tests.tiny_pairs import tiny_llama

import assay
from assay import Experiment, Run, capture, edit, metric, sweep
from assay.core.errors import ExperimentError
from assay.core.result import Result
from assay.engine import naive
from assay.engine.costs import Costs
from assay.engine.schedule.measure import OPTIONS, measure, proven
from assay.engine.schedule.rows import FlatRows
from assay.models.taps import HeadOut

FLAT = ("llama", "gpt2", "gpt_neox", "gemma2", "qwen3", "opt", "bert", "gemma3_text", "phi", "olmo2")
WHOLE = ("mamba", "falcon_h1", "jamba")
FLOAT32 = ("mixtral", "gpt_oss", "deepseek_v3", "jamba")  # their experts' kernel has no double precision
REFUSED = ("bloom", "xlm")
LENGTHS = (8, 8, 5, 5)


@cache
def model_of(name: str) -> Any:
    native, _ = zoo.build(name)
    return assay.load(native if name in FLOAT32 else native.double())


def ids(seed: int) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(5, 60, n).tolist() for n in LENGTHS]


def pair(seed: int, part: int) -> dict[str, list[list[int]]]:
    """Prompts, and the same with other tokens at one position from `part` on."""
    clean = ids(seed)
    corrupt = [[*row[:part], row[part] % 50 + 6, *row[part + 1 :]] for row in clean]
    return {"clean": clean, "corrupt": corrupt}


def agree(name: str, experiment: Experiment, **options: Any) -> tuple[Result, Result]:
    """Double precision rounds at 1e-16; sums of a few hundred terms in another order stay under 1e-10. Single: 1e-5."""
    network = model_of(name).network
    slow, fast = naive.measure(network, experiment), measure(network, experiment, **options)
    tolerance = 1e-5 if name in FLOAT32 else 1e-10
    assert set(slow.data) == set(fast.data)
    for label in slow.data:
        here, there = slow[str(label)], fast[str(label)]
        assert here.dims == there.dims and here.shape == there.shape
        # a divergence near 0 is a difference of numbers near 1: it rounds as the square root of itself
        scale = max(float(np.nanmax(np.abs(here.values))), 1e-2 if name in FLOAT32 else 1e-4)
        np.testing.assert_allclose(there.values, here.values, rtol=0, atol=tolerance * scale, err_msg=str(label))
    return slow, fast


PATCH = edit.patch("resid_pre", source="corrupt")
METRICS = (
    metric.logit_diff(7, 8),
    metric.kl(to="clean", pos=None, reduce="mean"),
    metric.loss(pos=None, reduce="sum", name="loss"),
    metric.norm("resid_post", pos=-1, name="norm"),
)

ENDS = (
    metric.logit_diff(7, 8),
    metric.rank(7, pos=[2, -1], name="rank"),
    metric.kl(to="corrupt", pos=-2),
    metric.prob(7, run="corrupt", name="other"),
)
"""Metrics that leave most positions of the unchanged passes unread."""

NAMING = (metric.logit_diff(7, 8), metric.logit(9, pos=[2, -1]), metric.accuracy(7, wrong=[8], run="corrupt"))
"""Metrics that leave most of the vocabulary unread."""


@st.composite
def experiments(draw: Any) -> Experiment:
    """Sweeps of one edit, with a second one that stays, captures, and prompts of two lengths."""
    site = draw(st.sampled_from(["resid_pre", "resid_post", "mlp_out", "attn_out", "z", "v", "mlp_post"]))
    pos = draw(st.sampled_from([None, 0, -1, 3, [1, -2]]))
    head = draw(st.sampled_from([None, 0])) if site in ("z", "v") else None
    swept = draw(
        st.sampled_from(
            [
                edit.patch(site, source="corrupt", pos=pos, head=head),
                edit.zero(site, pos=pos, head=head),
                edit.scale(site, factor=1.7, pos=pos, head=head),
                edit.noise(site, std=0.5, seed=3, pos=pos, head=head),
                edit.mean(site, over="corrupt", pos=pos, head=head),
                edit.resample(site, source="corrupt", seed=1, pos=pos, head=head),
            ]
        )
    )
    edits = [swept]
    if draw(st.booleans()):
        edits.append(edit.freeze("L1.mlp_out", source="clean", pos=draw(st.sampled_from([None, -1]))))
    captures = [capture.site("L1.resid_pre", pos=-1, name="kept")] if draw(st.booleans()) else []
    inputs = pair(draw(st.integers(0, 3)), draw(st.integers(0, 4)))
    return Experiment(
        inputs={name: {"kind": "tokens", "tokens": rows} for name, rows in inputs.items()},
        runs={"main": Run(input="clean", edits=edits, captures=captures)},
        metrics=[
            *draw(st.sampled_from([METRICS[:3], ENDS, NAMING])),
            metric.norm("L1.resid_post", pos=-1, name="norm"),
        ],
        main="main",
        sweep={"axes": {"layer": [0, 1]}},
    )


@pytest.mark.parametrize("name", [*FLAT, *FLOAT32[:3]])
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(experiment=experiments())
def test_any_sweep_gives_the_naive_numbers(name: str, experiment: Experiment) -> None:
    assume(all(model_of(name).network.why_not(f"L0.{e.site}") is None for e in experiment.runs["main"].edits[:1]))
    agree(name, experiment)


def patches(seed: int = 0, part: int = 3, **over: Any) -> Experiment:
    return sweep(
        edit.patch("resid_pre", source="corrupt"),
        over=over or {"layer": None, "pos": [0, 3, -1]},
        inputs=pair(seed, part),
        base="clean",
        metrics=[metric.logit_diff(7, 8), metric.kl(to="clean", pos=None, reduce="mean")],
    )


@pytest.mark.parametrize("name", [*FLAT, *FLOAT32[:3], *WHOLE])
def test_which_layout_an_architecture_has(name: str) -> None:
    _, fast = agree(name, patches())
    facts = " ".join(fast.provenance.facts)
    expected = "all positions" if name in WHOLE else "from the first position that differs"
    assert "scheduled" in facts and expected in facts


def test_a_model_that_views_its_output_as_sequences_gets_whole_ones() -> None:
    """GPT-Neo gives its last stream the shape of the prompt: of rows that are read one by one there is no such shape."""
    prompts = {name: rows[:2] for name, rows in pair(0, 3).items()}
    agree("gpt_neo", sweep(edit.patch("z", source="corrupt"), over=["layer", "head"], inputs=prompts, base="clean",
                           metrics=METRICS[:1]))  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_do_is_left_to_the_naive_engine_and_said(name: str) -> None:
    slow, fast = agree(name, patches())
    assert any("the schedule could not be used" in fact for fact in fast.provenance.facts)
    assert fast.cost.token_layers == slow.cost.token_layers


def test_only_what_differs_is_computed() -> None:
    """Llama of L layers, prompts of 8, 8, 5 and 5 tokens that part at token 3, patched at 3: positions from 3 on, layers from
    the patched one on, and one plain pass of each input."""
    experiment = patches(layer=None, pos=[0, 3])
    slow, fast = agree("llama", experiment)
    layers, tokens = model_of("llama").n_layers, sum(LENGTHS)
    live = sum(n - 3 for n in LENGTHS) * sum(layers - layer for layer in range(layers))
    assert fast.cost.token_layers == 2 * layers * tokens + live
    assert (
        slow.cost.token_layers == (2 * layers + 2) * layers * tokens or slow.cost.token_layers > fast.cost.token_layers
    )


@pytest.mark.parametrize(
    "option", [name for name in OPTIONS if name not in ("head_out", "unembed", "vocab", "early", "attention")]
)  # counted below, `early` in test_early.py
def test_every_optimisation_can_be_switched_off_and_is_missed(option: str) -> None:
    """Counted in token-layers; a staggered start and a joint unchanged pass save passes, not token-layers."""
    experiment = patches()
    _, on = agree("llama", experiment)
    _, off = agree("llama", experiment, without=[option])
    if option in ("stagger", "together"):
        assert off.cost.passes > on.cost.passes and off.cost.token_layers == on.cost.token_layers
    else:
        assert off.cost.token_layers > on.cost.token_layers


GRADIENTS = {
    "here": Run(input="clean", captures=["resid_pre", capture.grad("resid_post", of=metric.logit_diff(7, 8))]),
    "there": Run(input="corrupt", captures=["mlp_out", capture.grad("z", of=metric.kl(to="here", pos=-2))]),
}


def without_a_sweep(**runs: Run) -> Experiment:
    return Experiment(inputs=pair(0, 3), runs=GRADIENTS | runs, main="here", metrics=[metric.loss(pos=[1, 3])])


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "olmo2", "opt", "bert", "mixtral"])
def test_runs_without_a_sweep_unembed_what_is_read_too(name: str) -> None:
    """Passes forwards and backwards, counted in operations: `here` is read at 1, 3, −2 and −1, `there` at −2."""
    experiment = without_a_sweep()
    slow, fast = agree(name, experiment)
    _, off = agree(name, experiment, without=["unembed"])
    assert off.cost.flops == slow.cost.flops
    left_out = 2 * sum(LENGTHS) - sum(len({1, 3, n - 2, n - 1}) for n in LENGTHS) - len(LENGTHS)
    network = model_of(name).network
    one = Costs(network, network.structure.main_chain).unembedding
    narrow = proven(network, True).flat and not proven(network, True).padded
    assert slow.cost.flops - fast.cost.flops == pytest.approx(left_out * one if narrow else 0.0)
    assert narrow == (name != "gpt2")  # which gives its output the shape of the prompt


@pytest.mark.parametrize(
    "extra",
    [
        Run(input="clean", captures=["logits"]),
        Run(input="clean", captures=[capture.grad("final_norm", of=metric.logit_diff(7, 8))]),
        Run(input="clean", edits=[edit.scale("logits", factor=2.0)]),
        Run(input="clean", edits=[edit.patch("final_norm", source="there")]),
    ],
)
def test_what_comes_after_the_blocks_is_left_whole(extra: Run) -> None:
    slow, fast = agree("llama", without_a_sweep(extra=extra).model_copy(update={"main": "extra"}))
    assert slow.cost.flops == fast.cost.flops


def test_sequences_that_begin_at_near_positions_share_calls_of_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls by the variants' pass; all first positions of one length in one call, each in its own, and some of each."""
    calls: list[int] = []
    together = FlatRows.together

    def counted(rows: FlatRows, layer: int) -> Any:
        found = list(together(rows, layer))
        calls.append(len(found))
        return iter(found)

    monkeypatch.setattr(FlatRows, "together", counted)
    experiment = patches(0, 0, layer=[1], pos=list(range(5)))
    agree("llama", experiment)
    shared = max(calls)
    calls.clear()
    agree("llama", experiment, without=["attention"])
    assert (shared, max(calls)) == (1, 5)
    calls.clear()
    monkeypatch.setattr(
        Costs, "spare_queries", lambda costs, keys: 4.0
    )  # two examples of a length begin at each position
    agree("llama", experiment)
    assert max(calls) == 2  # positions 0 to 2, with two and four idle queries; 3 and 4


def test_only_what_is_read_is_unembedded() -> None:
    """One position of each prompt that a metric reads, and of two groups one position of the others, which none reads."""
    costs = Costs(model_of("llama").network, model_of("llama").network.structure.main_chain)
    read = {"ends": (METRICS[:1], 4 + 2), "everywhere": (METRICS[1:2], sum(LENGTHS) + 2)}
    for metrics, positions in read.values():
        experiment = sweep(PATCH, over=["layer"], inputs=pair(0, 3), base="clean", metrics=metrics)
        _, on = agree("llama", experiment, without=["vocab"])
        _, off = agree("llama", experiment, without=["unembed", "vocab"])
        saved = (2 * sum(LENGTHS) - positions) * costs.unembedding
        assert off.cost.flops - on.cost.flops == pytest.approx(saved, rel=1e-9)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize(
    "change",
    [
        edit.patch("head_out", source="corrupt"),
        edit.zero("head_out", pos=3),
        edit.scale("head_out", factor=0.5),
        edit.mean("head_out", over="corrupt"),
    ],
    ids=lambda e: e.op,
)
def test_heads_outputs_are_edited_at_z(name: str, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no head's output is computed in the width of the stream."""
    network, reads = model_of(name).network, list[int]()
    read = HeadOut.read
    monkeypatch.setattr(HeadOut, "read", lambda *args: (reads.append(1), read(*args))[1])
    inputs = pair(0, 2)
    experiment = sweep(change, over=["layer", "head"], inputs=inputs, base="clean", metrics=METRICS[:2])
    measure(network, experiment)
    assert not reads
    agree(name, experiment)
    agree(name, experiment, without=["head_out"])
    assert reads


def test_another_edit_of_a_heads_output_leaves_all_where_they_are() -> None:
    vector = torch.randn(model_of("llama").d_model, dtype=torch.float64)
    edits = [edit.add("L1.head_out", vector, head=0), edit.patch("head_out", source="corrupt")]
    agree("llama", sweep(edits, over=["layer", "head"], inputs=pair(0, 2), base="clean", metrics=METRICS[:2]))


def test_an_unknown_optimisation_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"'depht' is no optimisation .* Nearest: depth"):
        measure(model_of("llama").network, patches(), without=["depht"])


def test_path_patching_reads_a_run_that_varies_itself() -> None:
    """What one head sends to the last block's values, everything else frozen: three runs, two of them swept."""
    inputs = {name: {"kind": "tokens", "tokens": rows} for name, rows in pair(1, 2).items()}
    last = model_of("llama").n_layers - 1
    middle = Run(
        input="clean",
        edits=[edit.patch("L0.z", source="corrupt"), edit.freeze("mlp_out", source="clean")],
        captures=[capture.site(f"L{last}.v", name="v")],
    )
    main = Run(input="clean", edits=[edit.patch(f"L{last}.v", source="middle")])
    experiment = Experiment(
        inputs=inputs,
        runs={"middle": middle, "main": main},
        metrics=[metric.logit_diff(7, 8)],
        main="main",
        sweep={"axes": {"head": None}, "runs": ["middle"]},
    )
    slow, fast = agree("llama", experiment)
    assert float(np.ptp(slow["logit_diff"].values)) > 0
    assert fast.cost.token_layers < slow.cost.token_layers


@pytest.mark.parametrize("site", ["pattern", "scores"])
def test_inside_of_attention(site: str) -> None:
    experiment = sweep(
        edit.zero(site, pos=2) if site == "pattern" else edit.scale(site, factor=0.5),
        over={"layer": None, "head": [0, 1]},
        inputs={"clean": ids(0)},
        base="clean",
        metrics=[metric.logit_diff(7, 8)],
    )
    _, fast = agree("llama", experiment)
    assert any("no axis of positions" in fact for fact in fast.provenance.facts)


def test_nothing_departs() -> None:
    """A patch from the same prompts changes nothing: two plain passes, whatever the number of variants."""
    prompts = ids(0)
    experiment = sweep(
        edit.patch("resid_pre", source="same"),
        over=["layer"],
        inputs={"clean": prompts, "same": prompts},
        base="clean",
        metrics=[metric.logit_diff(7, 8)],
    )
    _, fast = agree("llama", experiment)
    assert fast.cost.token_layers == 2 * model_of("llama").n_layers * sum(LENGTHS)


def test_leaves_nothing_behind() -> None:
    model = model_of("llama")
    before = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.native.named_modules()}
    measure(model.network, patches())
    after = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.native.named_modules()}
    assert before == after
    assert not any("forward" in m.__dict__ for m in model.native.modules())
    assert math.isfinite(float(model.run(ids(0)[0]).logits.sum()))


@pytest.mark.parametrize("without", [(), ("position",)])
@pytest.mark.parametrize(
    "swept", [edit.zero("pattern", pos=2), edit.zero("z", pos=2), edit.scale("scores", factor=0.5)]
)
def test_the_kernel_is_the_naive_engines(swept: Any, without: tuple[str, ...]) -> None:
    """With a fused kernel, whose softmax is in double precision, and the eager one, whose softmax is in single."""
    model = tiny_llama()
    assert model.native.config._attn_implementation == "sdpa"  # type: ignore[union-attr]
    experiment = sweep(
        swept,
        over={"layer": None, "head": [0, 1]},
        inputs={"clean": ids(0)},
        base="clean",
        metrics=[metric.logit_diff(7, 8)],
    )
    slow, fast = model.measure(experiment), model.measure(experiment, engine="scheduled", without=without)
    np.testing.assert_allclose(fast["logit_diff"].values, slow["logit_diff"].values, rtol=0, atol=1e-12)
