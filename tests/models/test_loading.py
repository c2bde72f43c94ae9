import json
import pickle
from pathlib import Path

import pytest
import torch
from tests.models.tiny import llama_folder, tiny_config, tiny_llama, tiny_tokenizer
from torch import nn
from transformers import (
    AutoConfig,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ViTConfig,
    ViTForImageClassification,
)

from assay.core.errors import InputError, LoadError, UnsafeError
from assay.models import pretrained
from assay.models.fingerprint import fingerprint
from assay.models.loading import load_native

IDS = torch.tensor([[1, 3, 4, 5, 6, 3, 7]])


def same_logits(one: nn.Module, other: nn.Module) -> bool:
    with torch.no_grad():
        return torch.equal(one(IDS).logits, other(IDS).logits)


def tiny_bert_config() -> BertConfig:
    return BertConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
    )


def test_a_folder_gives_the_same_model_with_its_tokenizer(tmp_path: Path) -> None:
    model = llama_folder(tmp_path)
    loaded = load_native(tmp_path)
    assert same_logits(model, loaded.native)
    assert loaded.tokenizer is not None
    assert loaded.tokenizer("the cat sat")["input_ids"] == [3, 4, 5]
    assert loaded.source.kind == "folder"
    assert loaded.source.dtype == "float32"
    assert "loaded as LlamaForCausalLM, as its configuration says" in loaded.source.facts
    assert not loaded.native.training
    assert all(parameter.requires_grad for parameter in loaded.native.parameters()), "left as it is"


def test_sharded_safetensors_give_the_same_model(tmp_path: Path) -> None:
    model = tiny_llama()
    model.save_pretrained(tmp_path, max_shard_size="20kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = load_native(str(tmp_path))
    assert same_logits(model, loaded.native)
    assert loaded.tokenizer is None
    assert fingerprint(loaded.native) == fingerprint(model)


def test_tied_weights_are_not_called_missing(tmp_path: Path) -> None:
    llama_folder(tmp_path, tie_word_embeddings=True)
    native = load_native(tmp_path).native
    assert native.lm_head.weight is native.model.embed_tokens.weight


def test_a_dtype_is_kept_unless_another_is_asked_for_and_either_is_recorded(tmp_path: Path) -> None:
    tiny_llama().to(torch.bfloat16).save_pretrained(tmp_path)
    as_stored = load_native(tmp_path)
    assert as_stored.native.dtype == torch.bfloat16
    assert "weights are bfloat16, as stored" in as_stored.source.facts
    cast = load_native(tmp_path, dtype="float32")
    assert cast.native.dtype == torch.float32
    assert "cast from bfloat16 to float32, as asked" in cast.source.facts


def test_weights_only_pickles_are_read(tmp_path: Path) -> None:
    model = llama_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert same_logits(model, load_native(tmp_path).native)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return (Path.touch, (self.marker,))


def test_a_pickle_that_carries_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    llama_folder(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    marker = tmp_path / "ran"
    torch.save({"weight": Evil(marker)}, tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(UnsafeError, match="could run code: refused"):
        load_native(tmp_path / "model")
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(marker), protocol=2))
    with pytest.raises((UnsafeError, LoadError)):
        load_native(tmp_path / "model")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.ckpt", "weights.pkl", "weights.bin", "weights.npz"])
def test_a_file_that_can_carry_code_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnsafeError, match=r"refused\. Give a folder"):
        load_native(tmp_path / name)


def test_code_in_the_repository_is_refused_unless_trusted(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    folder = tmp_path / "model"
    tiny_llama().save_pretrained(folder)
    (folder / "modeling_own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own_llama'\n"
        "class OwnForCausalLM(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own_llama",
        "architectures": ["OwnForCausalLM"],
        "auto_map": {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsafeError, match="could do anything that you can do"):
        load_native(folder)
    assert not marker.exists()
    loaded = load_native(folder, trust_remote_code=True)
    assert type(loaded.native).__name__ == "OwnForCausalLM"
    assert any("code from its own repository was run" in fact for fact in loaded.source.facts)


def test_the_class_is_the_one_that_was_saved(tmp_path: Path) -> None:
    vit = ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, image_size=16, patch_size=8
    )
    bart = BartConfig(
        vocab_size=64,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=32,
    )
    models = [
        BertForMaskedLM(tiny_bert_config()),
        BertModel(tiny_bert_config()),
        ViTForImageClassification(vit),
        BartForConditionalGeneration(bart),
    ]
    for model in models:
        model.save_pretrained(tmp_path / type(model).__name__)
        assert type(load_native(tmp_path / type(model).__name__).native) is type(model)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: BertForMaskedLM(tiny_bert_config()), "a masked language model"),  # it is in the causal mapping as well
        (tiny_llama, "a causal language model"),
    ],
)
def test_without_a_named_class_the_type_decides(make: object, kind: str, tmp_path: Path) -> None:
    model = make()
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_native(tmp_path)
    assert type(loaded.native) is type(model)
    assert any(kind in fact and "names no class" in fact for fact in loaded.source.facts)


def test_missing_weights_are_an_error_and_surplus_ones_a_fact(tmp_path: Path) -> None:
    BertModel(tiny_bert_config(), add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(LoadError, match=r"lacks 2 weights .*pooler.*They would be random"):
        load_native(tmp_path)
    random = load_native(tmp_path, allow_missing=True)
    assert any("2 weights are not in the checkpoint and are random" in fact for fact in random.source.facts)
    BertForMaskedLM(tiny_bert_config()).save_pretrained(tmp_path / "masked")
    bare = load_native(tmp_path / "masked", model_class="BertModel", allow_missing=True)
    assert any("not part of this class, left out" in fact or "left out" in fact for fact in bare.source.facts)
    with pytest.raises(LoadError, match=r"no model class 'BertModle'. Nearest: BertModel"):
        load_native(tmp_path, model_class="BertModle")


def test_a_module_is_used_as_it_is() -> None:
    model = tiny_llama().train()
    loaded = load_native(model, tokenizer=tiny_tokenizer())
    assert loaded.native is model
    assert loaded.tokenizer is not None
    assert not model.training
    assert any("was in training mode" in fact for fact in loaded.source.facts)
    plain = load_native(nn.Sequential(nn.Linear(3, 3)))
    assert plain.tokenizer is None
    assert plain.source.name == "Sequential"


def test_what_does_not_apply_to_a_module_is_refused() -> None:
    with pytest.raises(LoadError, match="revision and dtype cannot be chosen for a module that is already loaded"):
        load_native(tiny_llama(), dtype="bfloat16", revision="main")
    with pytest.raises(LoadError, match="tokenizer is a str"):
        load_native(tiny_llama(), tokenizer="gpt2")
    with pytest.raises(InputError, match="Cannot load a int"):
        load_native(3)


def test_options_reach_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pythia's checkpoints are revisions: the one that was asked for must be what is fetched, for every part."""
    seen: list[dict[str, object]] = []

    def fake_config(place: str, **options: object) -> object:
        seen.append(options)
        return tiny_config(architectures=["LlamaForCausalLM"])

    def fake_model(place: str, **options: object) -> object:
        seen.append(options)
        return tiny_llama(), {}

    def fake_tokenizer(place: str, **options: object) -> object:
        seen.append(options)
        return tiny_tokenizer()

    monkeypatch.setattr(pretrained.AutoConfig, "from_pretrained", fake_config)
    monkeypatch.setattr("transformers.LlamaForCausalLM.from_pretrained", fake_model)
    monkeypatch.setattr("assay.models.companions.AutoTokenizer.from_pretrained", fake_tokenizer)
    monkeypatch.setattr("assay.models.companions._there", lambda place, names, request: "tokenizer.json" in names)
    quantization = {"load_in_4bit": True}
    loaded = load_native(
        "EleutherAI/pythia-70m", revision="step3000", dtype="bfloat16", device_map="auto", quantization=quantization
    )
    assert [options["revision"] for options in seen if "revision" in options] == ["step3000"] * 3
    assert all(options["trust_remote_code"] is False for options in seen)
    weights = next(options for options in seen if "weights_only" in options)
    assert weights["weights_only"] is True
    assert weights["dtype"] == torch.bfloat16
    assert weights["device_map"] == "auto"
    assert weights["quantization_config"] == quantization
    assert loaded.source.kind == "hub"
    assert loaded.source.revision == "step3000"


def test_a_device_that_is_not_there_is_told_before_anything_is_read() -> None:
    with pytest.raises(LoadError, match="There is no device 'nonsense'"):
        load_native("does/not-matter", device="nonsense")
    with pytest.raises(LoadError, match="device and device_map contradict"):
        load_native("does/not-matter", device="cpu", device_map="auto")
    with pytest.raises(LoadError, match=r"no dtype 'bfloat61'\. Nearest: bfloat16"):
        load_native("does/not-matter", dtype="bfloat61")


@pytest.mark.parametrize("place", ["./nowhere", "/no/such/folder", "model.gguf", "a/b/c", "~/nowhere"])
def test_a_path_that_does_not_exist_never_goes_to_the_hub(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoConfig, "from_pretrained", None)
    with pytest.raises(LoadError, match="does not exist: expected a folder"):
        load_native(place)


@pytest.mark.parametrize("place", ["gpt2", "EleutherAI/pythia-70m"])
def test_a_hub_that_cannot_be_reached_is_one_clear_line(place: str) -> None:
    with pytest.raises(LoadError) as caught:
        load_native(place)
    assert "the hub cannot be asked for it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_folders_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no config\.json and no \.gguf file"):
        load_native(tmp_path)
    llama_folder(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match="Cannot load the model"):
        load_native(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_text('{"model_type": "no_such_type"}')
    with pytest.raises(LoadError, match="has no code for the architecture"):
        load_native(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LoadError, match="Cannot load the configuration"):
        load_native(tmp_path)
    with pytest.raises(LoadError, match="holds weights alone"):
        load_native(weights)
    with pytest.raises(LoadError, match="revision cannot be chosen for a local folder"):
        load_native(tmp_path, revision="main")


def test_a_tokenizer_that_is_there_must_load(tmp_path: Path) -> None:
    """Going on without it would turn every prompt of text into an error far from its cause."""
    llama_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(LoadError, match="Cannot load the tokenizer"):
        load_native(tmp_path)
    assert load_native(tmp_path, tokenizer=False).tokenizer is None
    assert load_native(tmp_path, tokenizer=tiny_tokenizer()).tokenizer is not None


def test_weights_of_another_size_are_an_error(tmp_path: Path) -> None:
    llama_folder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 65}))
    with pytest.raises(LoadError):
        load_native(tmp_path)


def test_a_subfolder_is_loaded(tmp_path: Path) -> None:
    model = llama_folder(tmp_path / "checkpoints" / "step10")
    loaded = load_native(tmp_path, subfolder="checkpoints/step10")
    assert same_logits(model, loaded.native)
    assert loaded.tokenizer is not None
