"""Hub ids, with a cache on disk laid out as the hub's own client lays it out, and no network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from tests.models.test_loading import IDS, same_logits, tiny_bert_config
from tests.models.tiny import tiny_config, tiny_tokenizer
from transformers import BertForPreTraining, LlamaForCausalLM, PreTrainedModel

import assay
from assay.core.errors import LoadError, UnsafeError
from assay.models.loading import load_native


def cached(cache: Path, repository: str, revision: str, model: PreTrainedModel) -> str:
    """Put a model into a hub cache under a revision, as a download would; its commit."""
    commit = hashlib.sha1(f"{repository} {revision}".encode()).hexdigest()
    place = cache / f"models--{repository.replace('/', '--')}"
    model.save_pretrained(place / "snapshots" / commit)
    tiny_tokenizer().save_pretrained(place / "snapshots" / commit)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / revision).write_text(commit)
    return commit


def llama(seed: int, **changes: object) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(tiny_config(**changes)).eval()


PYTHIA = "EleutherAI/pythia-tiny"


@pytest.fixture
def pythia(tmp_path: Path) -> dict[str, LlamaForCausalLM]:
    """Three training checkpoints, and the finished model under `main`."""
    models = {revision: llama(seed) for seed, revision in enumerate(("step0", "step1000", "main"))}
    for revision, model in models.items():
        cached(tmp_path, PYTHIA, revision, model)
    return models


@pytest.mark.parametrize("revision", ["step0", "step1000", None])
def test_a_revision_gives_the_weights_of_that_checkpoint(
    revision: str | None, pythia: dict[str, LlamaForCausalLM], tmp_path: Path
) -> None:
    loaded = load_native(PYTHIA, revision=revision, cache_dir=str(tmp_path), local_files_only=True)
    wanted = revision or "main"
    for name, model in pythia.items():
        assert same_logits(loaded.native, model) == (name == wanted)
    assert loaded.source.revision == wanted
    assert loaded.source.kind == "hub"
    assert loaded.source.asked == PYTHIA
    commit = hashlib.sha1(f"{PYTHIA} {wanted}".encode()).hexdigest()
    assert f"hub commit {commit}" in loaded.source.facts
    assert loaded.tokenizer is not None


def test_a_commit_is_a_revision(pythia: dict[str, LlamaForCausalLM], tmp_path: Path) -> None:
    commit = hashlib.sha1(f"{PYTHIA} step1000".encode()).hexdigest()
    loaded = load_native(PYTHIA, revision=commit, cache_dir=str(tmp_path))
    assert same_logits(loaded.native, pythia["step1000"])
    assert loaded.source.revision == commit


def test_checkpoints_have_different_fingerprints_and_the_same_sites(
    pythia: dict[str, LlamaForCausalLM], tmp_path: Path
) -> None:
    models = [assay.load(PYTHIA, revision=r, cache_dir=str(tmp_path)) for r in ("step0", "step1000", "step1000")]
    assert models[0].fingerprint != models[1].fingerprint == models[2].fingerprint
    assert [str(s) for s in models[0].sites] == [str(s) for s in models[1].sites]
    before = models[1].native(IDS).logits
    with torch.no_grad():
        models[2].native.model.norm.weight.zero_()
    assert torch.equal(models[1].native(IDS).logits, before), "two loads share nothing"


def test_a_revision_that_is_not_there_is_one_clear_line(pythia: dict[str, LlamaForCausalLM], tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=PYTHIA) as caught:
        load_native(PYTHIA, revision="step512", cache_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_seeds_are_repositories(tmp_path: Path) -> None:
    """MultiBERTs publishes each seed as a repository, saved from the class with both pretraining heads."""
    models = {}
    for seed in (0, 3):
        torch.manual_seed(seed)
        models[seed] = BertForPreTraining(tiny_bert_config()).eval()
        cached(tmp_path, f"google/multiberts-seed_{seed}", "main", models[seed])
    loaded = {s: assay.load(f"google/multiberts-seed_{s}", cache_dir=str(tmp_path)) for s in models}
    for seed, model in loaded.items():
        assert type(model.native) is BertForPreTraining
        assert model.network.source.name == f"multiberts-seed_{seed}"
        assert model.network.structure.kinds == {(None, 0): "post-norm", (None, 1): "post-norm"}
    assert loaded[0].fingerprint != loaded[3].fingerprint


def test_dtype_and_device_are_passed_on(pythia: dict[str, LlamaForCausalLM], tmp_path: Path) -> None:
    model = assay.load(PYTHIA, dtype="bfloat16", device="cpu", cache_dir=str(tmp_path))
    assert model.dtype == torch.bfloat16
    assert model.device == torch.device("cpu")
    facts = model.network.source.facts
    assert "cast from float32 to bfloat16, as asked" in facts
    assert "on cpu" in facts
    run = model.run(IDS, capture=["L1.z"])
    assert run["L1.z"].dtype == torch.bfloat16
    assert torch.equal(run.logits, model.native(IDS).logits)


def test_meta_device_maps_reach_transformers(pythia: dict[str, LlamaForCausalLM], tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="device and device_map contradict"):
        load_native(PYTHIA, device="cpu", device_map="auto", cache_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("option", "near"), [("torch_dtype", "dtype"), ("revison", "revision"), ("trust_remote", "trust_remote_code")]
)
def test_an_unknown_option_is_an_error_not_ignored(option: str, near: str) -> None:
    with pytest.raises(LoadError, match=f"There is no option '{option}' for loading. Nearest: .*{near}"):
        load_native(PYTHIA, **{option: "bfloat16"})


def test_code_of_a_hub_repository_is_off_by_default(tmp_path: Path) -> None:
    commit = cached(tmp_path, "someone/own-model", "main", llama(0))
    folder = tmp_path / "models--someone--own-model" / "snapshots" / commit
    marker = tmp_path / "ran"
    (folder / "modeling_own.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    text = (folder / "config.json").read_text().replace('"LlamaForCausalLM"', '"OwnForCausalLM"')
    text = text.replace('"model_type": "llama"', '"model_type": "own_llama"')
    extra = '"auto_map": {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"},'
    (folder / "config.json").write_text("{" + extra + text[1:])
    with pytest.raises(UnsafeError, match=r"needs Python code from its own repository.*trust_remote_code=True"):
        load_native("someone/own-model", cache_dir=str(tmp_path))
    assert not marker.exists()
