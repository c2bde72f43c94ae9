"""Any edit, metric, capture, input and experiment, for property tests."""

from __future__ import annotations

import string
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from assay.experiments import capture, edit, metric
from assay.experiments.captures import Capture
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Chats, Input, ModelInputs, Texts, Tokens
from assay.experiments.metrics import Metric
from assay.experiments.positions import Slice
from assay.experiments.runs import Run
from assay.experiments.sweep import Sweep

SOURCES = ("clean", "other")
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=5)
TEXTS = st.text(min_size=1, max_size=8)
INDEX = st.integers(-3, 6)
NUMBERS = st.floats(-1e6, 1e6) | st.integers(-5, 5).map(float)
LAYERED = ("resid_post", "L0.mlp_out", "L2.z", "enc.L1.attn_out", "blocks.1.hook_resid_pre", "L1.pattern")
SITES = st.sampled_from([*LAYERED, "logits", "native:model.layers.0.mlp:out"])


def slices(bound: st.SearchStrategy[Any]) -> st.SearchStrategy[Slice]:
    return st.builds(Slice, start=st.none() | bound, stop=st.none() | bound, step=st.none() | st.integers(1, 3))


POS = st.none() | INDEX | NAMES | st.lists(INDEX | NAMES, min_size=1, max_size=3) | slices(INDEX | NAMES)
COUNTED = st.integers(0, 6)
STEPS = st.none() | COUNTED | st.lists(COUNTED, min_size=1, max_size=3) | slices(COUNTED)
INDICES = st.none() | INDEX | st.lists(INDEX, min_size=1, max_size=3) | slices(INDEX)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> Tensor:
    shape = shape or tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    numbers = draw(st.lists(st.floats(-100, 100), min_size=1, max_size=4))
    size = int(torch.Size(shape).numel())
    return torch.tensor([numbers[i % len(numbers)] + i for i in range(size)], dtype=dtype).reshape(shape)


VECTORS = tensors((4,))
MATRICES = tensors((2, 4)) | VECTORS
COLUMNS = tensors((4, 2)) | VECTORS
WHERE = {"pos": POS, "head": INDICES, "dims": INDICES, "examples": INDICES, "step": STEPS}


def edits() -> st.SearchStrategy[Edit]:
    source = st.sampled_from(SOURCES)
    seeds = st.integers(0, 99)

    def made(function: Any, **arguments: Any) -> st.SearchStrategy[Edit]:
        return st.builds(function, SITES, **arguments, **WHERE)

    return st.one_of(
        made(edit.set, value=NUMBERS | tensors()),
        made(edit.zero),
        made(edit.mean, over=source, per_position=st.booleans()),
        made(edit.patch, source=source, source_site=st.none() | SITES, source_pos=POS),
        made(edit.resample, source=source, seed=seeds),
        made(edit.add, vector=tensors(), scale=NUMBERS),
        made(edit.scale, factor=NUMBERS),
        st.builds(
            lambda site, bounds, where: edit.clamp(site, min=bounds[0], max=bounds[1], **where),
            SITES,
            st.tuples(NUMBERS, NUMBERS).map(sorted) | st.just((None, 1.0)) | st.just((None, None)),
            st.fixed_dictionaries(WHERE),
        ),
        made(edit.project_out, directions=MATRICES),
        made(edit.swap, source=source, basis=COLUMNS),
        made(
            edit.feature,
            dictionary=NAMES,
            values=st.dictionaries(st.integers(0, 50), NUMBERS, min_size=1, max_size=3),
            scale=st.none() | NUMBERS,
            relative=st.booleans(),
            keep_error=st.booleans(),
        ),
        made(
            edit.swap_features,
            source=source,
            dictionary=NAMES,
            features=st.lists(st.integers(0, 50), min_size=1, max_size=3),
        ),
        made(edit.freeze, source=source),
        made(edit.noise, std=st.floats(0, 10), seed=seeds),
    )


ANSWERS = TEXTS | st.integers(0, 50) | st.lists(TEXTS, min_size=2, max_size=2) | st.just([[1, 2], [3]])
REDUCE = st.sampled_from(["none", "mean", "sum", "min", "max"])


def metrics() -> st.SearchStrategy[Metric]:
    reading = {"run": st.none() | st.sampled_from(SOURCES), "pos": POS, "reduce": REDUCE, "reduce_examples": REDUCE}
    at = st.sampled_from(["L0.mlp_out", "logits"])
    heads = {"head": st.none() | st.integers(0, 3)}
    answering = [metric.logit, metric.logprob, metric.prob, metric.rank]
    return st.one_of(
        st.builds(metric.logit_diff, answer=ANSWERS, wrong=ANSWERS, **reading),
        *(st.builds(each, answer=ANSWERS, **reading) for each in answering),
        st.builds(metric.accuracy, answer=ANSWERS, wrong=st.none() | ANSWERS, **reading),
        st.builds(metric.kl, to=st.sampled_from(SOURCES), **reading),
        st.builds(metric.reverse_kl, to=st.sampled_from(SOURCES), **reading),
        st.builds(metric.loss, **reading),
        st.builds(metric.entropy, **reading),
        st.builds(metric.norm, at, **heads, **reading),
        st.builds(metric.dot, at, VECTORS, **heads, **reading),
        st.builds(metric.cosine, at, VECTORS, **heads, **reading),
    )


@st.composite
def captures(draw: st.DrawFn) -> list[Capture]:
    dtypes = st.none() | st.sampled_from(["float32", "float16", "bfloat16"])
    keeping = {"pos": POS, "head": INDICES, "dtype": dtypes}
    found: list[Capture] = []
    for i in range(draw(st.integers(0, 2))):
        one = st.builds(capture.site, SITES, name=st.just(f"c{i}"), **keeping)
        of = metrics().map(lambda each: each.model_copy(update={"run": None}))
        found.append(draw(one | st.builds(capture.grad, SITES, of=of, name=st.just(f"c{i}"), **keeping)))
    return found


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    more = {
        "positions": draw(st.dictionaries(NAMES, st.tuples(INDEX, INDEX), max_size=2)),
        "answers": draw(st.none() | ANSWERS),
        "wrong": draw(st.none() | ANSWERS),
    }
    ids = st.lists(st.integers(0, 99), min_size=1, max_size=4)
    turns = st.lists(st.fixed_dictionaries({"role": NAMES, "content": st.text(max_size=5)}), min_size=1, max_size=2)
    kind = draw(st.sampled_from(["texts", "tokens", "chats", "tensors"]))
    if kind == "texts":
        return Texts(texts=(draw(TEXTS), draw(TEXTS)), special_tokens=draw(st.booleans()), **more)
    if kind == "tokens":
        return Tokens(tokens=(draw(ids), draw(ids)), **more)
    if kind == "chats":
        return Chats(chats=(draw(turns), draw(turns)), generation_prompt=draw(st.booleans()), **more)
    return ModelInputs(tensors={"input_ids": torch.tensor([[1, 2], [3, 4]]), "other": draw(tensors((2, 3)))}, **more)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    return Experiment(
        inputs={"clean": draw(inputs()), "other": draw(inputs())},
        runs={"main": Run(input="clean", edits=draw(st.lists(edits(), max_size=3)), captures=draw(captures()))},
        metrics=draw(st.lists(metrics(), max_size=3)),
    )


@st.composite
def sweeps(draw: st.DrawFn) -> Experiment:
    scales = draw(st.lists(NUMBERS.filter(lambda n: n != 0), min_size=1, max_size=3, unique=True))
    layers = draw(st.none() | st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True))
    changed = edit.add("resid_post", draw(VECTORS), pos=draw(POS.filter(lambda pos: pos is not None)))
    return Experiment(
        inputs={"clean": draw(inputs())},
        runs={"swept": Run(input="clean", edits=changed)},
        metrics=[metric.entropy()],
        sweep=Sweep(axes={"layer": layers, "scale": scales}),
    )
