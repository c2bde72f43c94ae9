"""In every layout a document has the numbers that it has alone, or, joined, those of its row; and no pass goes on for
longer than it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance import zoo
from tests.engine import by_hand

import assay
from assay.core.errors import InputError
from assay.engine.harvest import Harvest
from assay.engine.model import Model

DOCUMENTS = [[(7 * i + 3 * j) % 50 + 1 for j in range(2 + (5 * i) % 9)] for i in range(13)]
SITES = ["L0.resid_post", "L1.z", "L1.q_rot"]


def same(one: Harvest, two: Harvest) -> None:
    """Llama's norms, and its softmax where q_rot is asked for, are in single precision; so is what is kept."""
    for name in ("tokens", "document", "position"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    for site, value in one.tensors.items():
        by_hand.close(two.tensors[site], value)


@contextmanager
def passes(model: Model) -> Iterator[list[dict[str, Any]]]:
    """The inputs of every native pass."""
    seen: list[dict[str, Any]] = []
    handle = model.native.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(dict(kwargs)), with_kwargs=True
    )
    try:
        yield seen
    finally:
        handle.remove()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_any_corpus_has_the_numbers_of_separate_documents(
    llama: Model, gpt2: Model, layout: Any, data: st.DataObject
) -> None:
    document = st.lists(st.integers(1, 59), min_size=1, max_size=9)
    corpus = data.draw(st.lists(document, min_size=1, max_size=6))
    pos = data.draw(st.sampled_from([None, -1, 0, slice(1, None), [0, -1]]))
    context, batch = data.draw(st.integers(3, 12)), data.draw(st.integers(1, 4))
    model = data.draw(st.sampled_from([llama, gpt2]))
    rules: Any = {"pos": pos, "context": context}
    try:
        alone = model.harvest(corpus, "L1.resid_post", batch=1, **rules)
    except InputError:  # all pieces are too short for the positions
        return
    same(alone, model.harvest(corpus, "L1.resid_post", layout=layout, batch=batch, **rules))


def test_padded_pieces_share_passes_under_a_mask(llama: Model) -> None:
    alone = llama.harvest(DOCUMENTS, SITES)
    llama.harvest(DOCUMENTS, SITES, layout="padded")  # the layout is tried first
    with passes(llama) as seen:
        same(alone, llama.harvest(DOCUMENTS, SITES, layout="padded", batch=5))
    assert [len(inputs["input_ids"]) for inputs in seen] == [5, 5, 3]
    assert all("attention_mask" in inputs for inputs in seen if inputs["input_ids"].shape[1] > 2)


def test_packed_pieces_lie_side_by_side(llama: Model) -> None:
    alone = llama.harvest(DOCUMENTS, SITES)
    llama.harvest(DOCUMENTS, SITES, layout="packed")
    with passes(llama) as seen:
        same(alone, llama.harvest(DOCUMENTS, SITES, layout="packed", context=24, batch=2))
    tokens = sum(map(len, DOCUMENTS))
    computed = sum(inputs["input_ids"].numel() for inputs in seen)
    assert tokens <= computed < 1.3 * tokens
    assert all(inputs["input_ids"].shape[1] <= 24 for inputs in seen)


def test_joined_rows_see_the_documents_before(llama: Model) -> None:
    found = llama.harvest(DOCUMENTS, "L2.resid_post", layout="joined", context=10)
    stream = [token for document in DOCUMENTS for token in document]
    assert found.tokens.tolist() == stream
    assert found.document.tolist() == [i for i, document in enumerate(DOCUMENTS) for _ in document]
    assert found.position.tolist() == [p for document in DOCUMENTS for p in range(len(document))]
    rows = [stream[i : i + 10] for i in range(0, len(stream), 10)]
    wanted = [by_hand.run(llama.native, [row], keep=["L2.resid_post"])[1]["L2.resid_post"][0] for row in rows]
    by_hand.close(found.tensors["L2.resid_post"], torch.cat(wanted).float())
    later = llama.harvest(DOCUMENTS, "L2.resid_post", layout="joined", context=10, pos=slice(1, None))
    assert later.tokens.tolist() == [token for row in rows for token in row[1:]]


@pytest.mark.parametrize(
    ("name", "layout", "why"),
    [
        ("mamba", "packed", "takes no positions"),
        ("bamba", "packed", "is not what it is without it"),
        ("bloom", "packed", "takes no positions"),
        ("bert", "packed", "is not what it is without it"),
    ],
)
def test_a_layout_that_is_not_exact_is_refused(name: str, layout: Any, why: str) -> None:
    model = assay.load(zoo.build(name)[0])
    with pytest.raises(InputError, match=f"layout='{layout}' is not exact for this model: .*{why}"):
        model.harvest(DOCUMENTS, "L1.resid_post", layout=layout)


@pytest.mark.parametrize("name", ["gemma3_text", "bert", "mixtral", "gpt_neox"])
def test_other_architectures(name: str) -> None:
    """Windows, attention in both directions, experts, rotary parts; in double precision but for the experts' kernel,
    which has none."""
    native = zoo.build(name, attention="sdpa")[0]
    model = assay.load(native if name == "mixtral" else native.double())
    alone = model.harvest(DOCUMENTS, "L1.resid_post")
    for layout in ("padded",) if name == "bert" else ("padded", "packed"):
        found = model.harvest(DOCUMENTS, "L1.resid_post", layout=layout)  # type: ignore[arg-type]
        torch.testing.assert_close(found.tensors, alone.tensors, atol=2e-5, rtol=1e-4)


def test_positions_of_its_own_are_refused() -> None:
    """CPM-Ant puts tokens of its own before the prompt."""
    model = assay.load(zoo.build("cpmant")[0])
    with pytest.raises(InputError, match="positions of its own"):
        model.harvest([[5, 6, 7]], "L1.resid_post")


@pytest.mark.parametrize(
    ("sites", "blocks", "mlps"),
    [
        (["L0.resid_pre"], 0, 0),
        (["L0.resid_post"], 1, 1),
        (["L1.z"], 2, 1),  # the input of block 1's output projection: its MLP is not run
        (["L0.mlp_out", "L1.resid_pre"], 1, 1),
        (["resid_post"], 3, 3),
    ],
)
def test_the_pass_ends_after_the_last_site(llama: Model, sites: list[str], blocks: int, mlps: int) -> None:
    native: Any = llama.native
    calls: Counter[str] = Counter()
    watched = {"block": native.model.layers, "mlp": [layer.mlp for layer in native.model.layers]}
    watched |= {"norm": [native.model.norm], "head": [native.lm_head]}
    handles = [
        module.register_forward_pre_hook(lambda *_, kind=kind: calls.update([kind]))
        for kind, modules in watched.items()
        for module in modules
    ]
    try:
        llama.harvest([[1, 2, 3], [4, 5, 6]], sites)
    finally:
        for handle in handles:
            handle.remove()
    # a hook of ours that leaves from a module's entrance comes after theirs
    expected = {"block": blocks + (sites == ["L0.resid_pre"]) + (sites[-1] == "L1.resid_pre"), "mlp": mlps}
    assert dict(calls) == {kind: n for kind, n in expected.items() if n}


def test_leaves_nothing_behind(llama: Model) -> None:
    before = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in llama.native.named_modules()}
    kernel = llama.native.config._attn_implementation  # type: ignore[union-attr]
    llama.harvest([[1, 2, 3]], ["L1.pattern", "L1.q_rot"])
    after = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in llama.native.named_modules()}
    assert before == after
    assert llama.native.config._attn_implementation == kernel  # type: ignore[union-attr]
    assert llama.run([1, 2, 3]).logits.isfinite().all()
