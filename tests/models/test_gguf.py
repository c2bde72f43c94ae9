from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tests.models.tiny import tiny_config
from transformers import LlamaForCausalLM

from assay.core.errors import LoadError
from assay.models.fingerprint import fingerprint
from assay.models.gguf_header import read_header
from assay.models.loading import load_native

IDS = torch.tensor([[1, 3, 4, 5, 6, 3, 7]])
WORDS = ("<unk>", "<s>", "</s>", "the", "cat", "t", "h", "e", "th", "x")
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def model_for_gguf() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(tiny_config(vocab_size=len(WORDS), tie_word_embeddings=False)).eval()


def as_llama_cpp(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp keeps the two halves of each rotary pair side by side; transformers keeps the halves apart."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(path: Path, model: LlamaForCausalLM, quantised: gguf.GGMLQuantizationType | None = None) -> None:
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(list(WORDS))
    writer.add_token_types([gguf.TokenType.NORMAL] * len(WORDS))
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, weight in model.state_dict().items():
        writer_add(writer, gguf_name(name), permuted(name, weight, config).numpy(), quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def writer_add(
    writer: gguf.GGUFWriter, name: str, weight: np.ndarray, quantised: gguf.GGMLQuantizationType | None
) -> None:
    if quantised is None or weight.ndim == 1:
        writer.add_tensor(name, weight)
    else:
        writer.add_tensor(name, gguf.quants.quantize(weight, quantised), raw_dtype=quantised)


def gguf_name(name: str) -> str:
    fixed = {"model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm", "lm_head.weight": "output"}
    if name in fixed:
        return f"{fixed[name]}.weight"
    _, _, layer, *rest, _ = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(rest)]}.weight"


def permuted(name: str, weight: torch.Tensor, config: object) -> torch.Tensor:
    if "q_proj" in name:
        return as_llama_cpp(weight, config.num_attention_heads)
    if "k_proj" in name:
        return as_llama_cpp(weight, config.num_key_value_heads)
    return weight


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    model = model_for_gguf()
    write_gguf(path, model)
    return path, model


def test_unquantised_weights_come_out_exactly(plain: tuple[Path, LlamaForCausalLM]) -> None:
    path, model = plain
    loaded = load_native(path)
    assert loaded.source.kind == "gguf"
    assert loaded.source.name == "tiny"
    assert any("unpacked from F32 (21 tensors) to float32" in fact for fact in loaded.source.facts)
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.native.state_dict()[name], weight), name
    with torch.no_grad():
        assert torch.equal(loaded.native(IDS).logits, model(IDS).logits)
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.convert_ids_to_tokens([3, 4]) == ["the", "cat"]


def test_quantised_weights_are_what_the_file_stands_for(tmp_path: Path) -> None:
    model = model_for_gguf()
    kind = gguf.GGMLQuantizationType.Q8_0
    write_gguf(tmp_path / "q8.gguf", model, kind)
    loaded = load_native(tmp_path / "q8.gguf")
    assert "Q8_0 (16 tensors), F32 (5)" in loaded.source.facts[1]
    weight = model.model.layers[0].mlp.up_proj.weight.detach().numpy()
    meant = gguf.quants.dequantize(gguf.quants.quantize(weight, kind), kind)
    assert np.array_equal(loaded.native.model.layers[0].mlp.up_proj.weight.detach().numpy(), meant)
    assert not np.array_equal(meant, weight)


def test_an_unpacked_model_can_be_saved_and_is_then_the_same(
    plain: tuple[Path, LlamaForCausalLM], tmp_path: Path
) -> None:
    native = load_native(plain[0]).native
    native.save_pretrained(tmp_path)
    assert fingerprint(load_native(tmp_path).native) == fingerprint(native)


def test_a_folder_with_one_gguf_file_is_that_file(plain: tuple[Path, LlamaForCausalLM], tmp_path: Path) -> None:
    path, _ = plain
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(path.read_bytes())
    with pytest.raises(LoadError, match=r"2 GGUF files: name one of a\.gguf, b\.gguf"):
        load_native(tmp_path)
    assert load_native(tmp_path, gguf_file="b.gguf").source.name == "b"
    (tmp_path / "a.gguf").unlink()
    assert load_native(tmp_path, dtype="bfloat16").native.dtype == torch.bfloat16


def test_a_damaged_file_is_one_clear_line(plain: tuple[Path, LlamaForCausalLM], tmp_path: Path) -> None:
    whole = plain[0].read_bytes()
    file = tmp_path / "x.gguf"
    file.write_bytes(b"nonsense" * 10)
    with pytest.raises(LoadError, match="not a GGUF file"):
        load_native(file)
    file.write_bytes(whole[: len(whole) - 1000])
    with pytest.raises(LoadError, match="is cut off"):
        load_native(file)
    for length in (6, 20, 100, 500):
        file.write_bytes(whole[:length])
        with pytest.raises(LoadError, match="is damaged"):
            load_native(file)
    file.write_bytes(whole[:4] + b"\x09" + whole[5:])
    with pytest.raises(LoadError, match="GGUF version 9"):
        load_native(file)
    with pytest.raises(LoadError, match="quantised already"):
        load_native(plain[0], quantization={"load_in_8bit": True})


def test_an_architecture_that_transformers_cannot_read_is_one_clear_line(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "no_such_architecture")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(LoadError, match="no_such_architecture"):
        load_native(tmp_path / "x.gguf")


def test_the_header_agrees_with_the_gguf_package(plain: tuple[Path, LlamaForCausalLM]) -> None:
    header = read_header(plain[0])
    reader = gguf.GGUFReader(plain[0])
    assert header.architecture == "llama"
    assert sum(header.tensor_types.values()) == len(reader.tensors)
    assert header.metadata["llama.rope.freq_base"] == 10000.0
    assert header.metadata["general.name"] == "Tiny"
    assert "tokenizer.ggml.tokens" not in header.metadata
