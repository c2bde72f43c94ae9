"""The studies under examples/circuits, in small: every step runs and every hypothesis gets a number.

On a random model of four layers with the embedded model's tokenizer; one of them on the embedded model itself, two prompts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import assay
from assay.engine.model import Model, load
from assay.studies.read import parse_study, read_study
from assay.studies.run import run_study
from assay.studies.schema import Study
from assay.studies.sources import Sources, make_prompts

ROOT = Path(__file__).parent.parent.parent
NAMES = ("ioi", "greater-than", "docstring", "agreement")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def nightly() -> ModuleType:
    return script("nightly_circuits")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    return script("circuit_pages")


@pytest.fixture(scope="module")
def embedded() -> Iterator[Model]:
    yield assay.load()


@pytest.fixture(scope="module")
def tiny(embedded: Model) -> Model:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=embedded.native.config.vocab_size, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    return load(LlamaForCausalLM(config).eval(), tokenizer=embedded.tokenizer)


def for_tiny(nightly: ModuleType, name: str) -> Study:
    """The small version with what is for a deep model left out: single layers, and names of late ones."""
    path = ROOT / "examples" / "circuits" / name / "study.yaml"
    study = nightly.smaller(parse_study(path.read_text(encoding="utf-8").replace("L2\\d", "L\\d")), 3)
    deep = ("layers", "senders")
    steps = {
        key: step.model_copy(update={"settings": {k: v for k, v in step.settings.items() if k not in deep}})
        for key, step in study.steps.items()
    }
    return study.model_copy(update={"steps": steps})


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_the_first_step_to_the_verdicts(
    name: str, nightly: ModuleType, tiny: Model, tmp_path: Path
) -> None:
    sources = Sources(model=lambda spec: tiny, data=make_prompts)
    study = for_tiny(nightly, name)
    run = run_study(study, tmp_path, sources=sources)
    assert set(run.results) == set(study.steps)
    judged = {each.id for each in run.conclusion.judgements}
    assert {"circuit_faithful", "circuit_small", "few_heads", "ig_beats_eap", "attribution_ranks_heads"} < judged
    recovered = run.results["judged"].data["recovered"].sel(bound="value")
    assert np.isfinite(recovered).all()
    assert set(run.results["circuit"].data["component"].values) <= set(run.results["edges"].data["component"].values)


def test_predictions_are_about_what_was_not_seen() -> None:
    """Scores, sizes and verdicts come from splits that share no wording."""
    for name in NAMES:
        study = read_study(ROOT / "examples" / "circuits" / name / "study.yaml")
        split = {step: study.data[study.steps[step].data].split for step in ("edges", "circuit", "judged", "roles")}
        assert split == {"edges": "train", "circuit": "validation", "judged": "test", "roles": "test"}
        assert study.analysis.correction == "bonferroni" and len(study.hypotheses) >= 7


@pytest.mark.slow
def test_on_the_embedded_model(nightly: ModuleType, embedded: Model, tmp_path: Path) -> None:
    study = nightly.smaller(read_study(ROOT / "examples" / "circuits" / "agreement" / "study.yaml"))
    run = run_study(study, tmp_path, sources=Sources(model=lambda spec: embedded, data=make_prompts))
    edges = run.results["edges"].data
    assert edges.sizes["component"] == 123_211  # all edges of 30 layers of nine heads
    assert float(run.results["accuracy"].data["correct"].mean()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_pages_tell_of_the_study_as_it_is(name: str, pages: ModuleType) -> None:
    """A page's numbers are of the study file as it now is: whoever changes a prediction must run it again."""
    page = (ROOT / "docs" / "circuits" / f"{name}.md").read_text(encoding="utf-8")
    block = page.partition("<!-- measured -->")[2].partition("<!-- end of measured -->")[0]
    study = read_study(ROOT / "examples" / "circuits" / name / "study.yaml")
    assert f"study file `{pages.mark(study)}`" in block
    for hypothesis in study.hypotheses:
        assert hypothesis.statement in block
