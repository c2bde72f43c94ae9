"""Measuring through a store: the second time nothing is computed, and nothing is read that another thing has made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.store.sweeps import IDS, is_finite, measure, only_entry, passes, plain, same, small
from tests.tiny_pairs import tiny_llama

import assay
from assay import Experiment, Run, edit, metric
from assay.core.errors import StorageError
from assay.engine.model import Model
from assay.engine.store import Store
from assay.engine.store.key import key_facts, key_of, why_not_kept


@pytest.mark.parametrize("experiment", [small(), plain()], ids=["sweep", "plain"])
def test_the_second_time_nothing_is_computed(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: Experiment
) -> None:
    without = measure(llama, experiment)
    first = measure(llama, experiment, tmp_path)
    assert is_finite(first) and same(first, without)
    seen = passes(monkeypatch)
    second = measure(llama, experiment, tmp_path)
    assert not seen
    assert same(second, without)
    assert second.cost == first.cost and second.cost.passes == without.cost.passes > 0
    added = set(second.provenance.facts) - set(first.provenance.facts)
    assert len(added) == 1 and added.pop().startswith(f"read from the store: {only_entry(tmp_path).key[:12]}, made 2")
    assert second.provenance.with_facts() == second.provenance
    assert second.provenance.experiment_hash == experiment.hash


def test_what_is_left_is_one_result_and_its_description(llama: Model, tmp_path: Path) -> None:
    measure(llama, small(), Store(tmp_path, every=0.0))
    entry = only_entry(tmp_path)
    assert sorted(path.name.partition("-")[0] for path in entry.folder.rglob("*") if path.is_file()) == [
        "entry.json", "result",
    ]  # fmt: skip
    about = entry.about()
    assert about is not None and about.variants == 12 and about.groups == 2 and about.examples == 4
    assert Experiment.from_json(Experiment(**about.experiment).to_json()).hash == small().hash
    assert key_of(about.facts) == entry.key


def test_a_store_is_a_folder_an_object_or_none(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for store in (str(tmp_path), tmp_path, Store(tmp_path), Store(str(tmp_path))):
        measure(llama, plain(), store)
    assert len(Store(tmp_path).entries()) == 1
    assert not any("store" in fact for fact in measure(llama, plain()).provenance.facts)
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "named"))
    assert Store().root == tmp_path / "named"
    monkeypatch.delenv("ASSAY_STORE")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    assert Store().root == tmp_path / "cache" / "store"
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is a file, and a store is a folder"):
        Store(tmp_path / "file")


def key(model: Model, experiment: Experiment | None = None, engine: str = "naive") -> str:
    return key_of(key_facts(model.network, experiment or plain(), engine=engine))


def test_the_key_is_the_same_for_the_same_in_another_process() -> None:
    assert key(tiny_llama()) == key(tiny_llama())
    assert key(tiny_llama(), Experiment.from_json(plain().to_json())) == key(tiny_llama())


def zero_a_weight(model: Model) -> None:
    model.native.get_parameter("model.layers.1.mlp.up_proj.weight").data[3, 5] = 0.0  # past autograd's version counter


def cast(model: Model) -> None:
    model.native.float()


def eager(model: Model) -> None:
    model.native.set_attn_implementation("eager")


@pytest.mark.parametrize("change", [zero_a_weight, cast, eager])
def test_another_model_has_another_key(change: Callable[[Model], None]) -> None:
    model = tiny_llama()
    before = key(model)
    change(model)
    assert key(model) != before


def test_other_surroundings_have_another_key(llama: Model) -> None:
    before = key(llama)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert key(llama) != before
    torch.set_float32_matmul_precision("medium")
    try:
        assert key(llama) != before
    finally:
        torch.set_float32_matmul_precision("highest")
    assert key(llama, engine="scheduled") != before
    assert key(llama, small()) != before
    assert key(llama) == before


def test_another_tokenizer_has_another_key(smol: Model) -> None:
    """The fingerprint is of weights and configuration; what texts become is in the key of its own."""

    class Other:
        """The same tokenizer, but for one word."""

        def __init__(self, word: str) -> None:
            self.word = word

        def __call__(self, text: str, **more: Any) -> Any:
            return smol.tokenizer(text.replace(self.word, " cat"), **more)  # type: ignore[misc]

        def __getattr__(self, name: str) -> Any:
            return getattr(smol.tokenizer, name)

    asked = Experiment(
        inputs={"a": "The dog sat"}, runs={"main": Run(input="a")},
        metrics=[metric.logit_diff(" down", " up"), metric.logprob(" still")],
    )  # fmt: skip

    def with_tokenizer(tokenizer: Any) -> str:
        return key_of(key_facts(replace(smol.network, tokenizer=tokenizer), asked, engine="naive"))

    before = with_tokenizer(smol.tokenizer)
    assert with_tokenizer(Other("nothing of this")) == before
    for word in (" dog", " down", " up", " still"):
        assert with_tokenizer(Other(word)) != before, word


def test_changed_weights_are_measured_anew(tmp_path: Path) -> None:
    model = tiny_llama()
    before = measure(model, plain(), tmp_path)
    zero_a_weight(model)
    after = measure(model, plain(), tmp_path)
    assert not same(before, after) and same(after, measure(model, plain()))
    assert "the weights were changed after the model was loaded" in after.provenance.facts
    assert before.provenance.model_fingerprint != after.provenance.model_fingerprint == model.fingerprint


def test_functions_are_not_kept(llama: Model, tmp_path: Path) -> None:
    run = Run(input="a", edits=(edit.call("L0.z", lambda z: z * 0),))
    local = Experiment(inputs={"a": IDS}, runs={"main": run}, metrics=[metric.entropy()])
    result = measure(llama, local, tmp_path)
    assert same(result, measure(llama, local))
    assert "not kept in the store: the experiment holds Python functions, which have no hash" in result.provenance.facts
    assert not list(tmp_path.iterdir())


def test_what_is_hooked_in_is_neither_kept_nor_answered_from_the_store(llama: Model, tmp_path: Path) -> None:
    kept = measure(llama, plain(), tmp_path)
    with llama.hooked({"L1.mlp_out": torch.zeros_like}):
        hooked = measure(llama, plain(), tmp_path)
    assert not same(hooked, kept)
    assert any(f.startswith("not kept in the store: the function assay.engine.hooks") for f in hooked.provenance.facts)
    assert same(measure(llama, plain(), tmp_path), kept)


def test_transformers_own_hooks_are_no_matter() -> None:
    llama = tiny_llama()  # of its own: the hooks stay
    before = key(llama)
    llama.native(torch.tensor([IDS[0]]), output_hidden_states=True)  # leaves hooks that collect outputs
    assert any(module._forward_hooks for module in llama.native.modules())
    assert why_not_kept(llama.network, plain()) is None and key(llama) == before


def test_why_not() -> None:
    model = tiny_llama()
    assert why_not_kept(model.network, plain()) is None
    model.native.train()
    assert "training mode" in str(why_not_kept(model.network, plain()))
    model.native.eval()
    layer = model.native.get_submodule("model.layers.1")
    layer.forward = lambda *args, **kwargs: type(layer).forward(layer, *args, **kwargs)
    assert "was put into the model" in str(why_not_kept(model.network, plain()))
    del layer.forward
    assert why_not_kept(model.network, plain()) is None


def test_a_replaced_method_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama()
    kind = type(model.native.get_submodule("model.layers.1.mlp"))
    monkeypatch.setattr(kind, "forward", lambda self, x: x)
    assert "was put into the model" in str(why_not_kept(model.network, plain()))


OWN = """
import torch
FACTOR = {factor}

def scaled(x):
    return x * {inner}

class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(60, 60)
        torch.nn.init.ones_(self.table.weight)

    def forward(self, input_ids):
        {comment}
        return scaled(self.table(input_ids)) * FACTOR{more}
"""


def own(factor: str = "2.0", inner: str = "1.0", comment: str = "pass", more: str = "") -> Model:
    """A network of one's own, as it is written in a notebook."""
    scope: dict[str, Any] = {"__name__": "notebook"}
    exec(OWN.format(factor=factor, inner=inner, comment=comment, more=more), scope)
    return assay.load(scope["Own"]().eval(), inputs={"input_ids": torch.tensor([[1, 2, 3]])})


def test_the_code_of_ones_own_classes_is_in_the_key() -> None:
    """Networks with the same name, configuration and weights that compute something else."""
    model, before = own(), key(own())
    assert key(own(comment="# the same, with a comment\n        pass")) == before
    for other in (own(factor="3.0"), own(inner="4.0"), own(more=" + 1")):
        assert other.fingerprint == model.fingerprint
        assert key(other) != before
