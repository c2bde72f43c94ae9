import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from assay.core.errors import InputError
from assay.models.fingerprint import fingerprint, tensor_hash
from assay.models.loading import load_native
from assay.models.network import Network


def tiny_llama(tied: bool = False) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).eval()


def tiny_gpt2() -> GPT2LMHeadModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=4, n_positions=32))


def tiny_bert() -> BertForMaskedLM:
    return BertForMaskedLM(
        BertConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=32,
        )
    )


@pytest.mark.parametrize("make", [tiny_llama, lambda: tiny_llama(tied=True), tiny_gpt2, tiny_bert])
def test_the_same_after_saving_and_loading(make: object, tmp_path: Path) -> None:
    model = make()
    before = fingerprint(model)
    model.save_pretrained(tmp_path)
    assert fingerprint(type(model).from_pretrained(tmp_path)) == before
    assert fingerprint(type(model).from_pretrained(tmp_path, attn_implementation="eager")) == before
    assert fingerprint(copy.deepcopy(model)) == before
    assert before.startswith("sha256:")
    assert len(before) == len("sha256:") + 64


def test_the_same_in_another_process(tmp_path: Path) -> None:
    model = tiny_llama()
    model.save_pretrained(tmp_path)
    code = (
        "import sys; from transformers import LlamaForCausalLM; from assay.models.fingerprint import fingerprint;"
        "print(fingerprint(LlamaForCausalLM.from_pretrained(sys.argv[1])))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == fingerprint(model)


def test_running_or_hooking_a_model_does_not_change_it() -> None:
    model = tiny_llama()
    before = fingerprint(model)
    model(torch.tensor([[1, 2, 3]]))
    model.train()
    model.requires_grad_(False)
    assert fingerprint(model) == before


def test_one_weight_in_its_last_bit_changes_it() -> None:
    model = tiny_llama()
    before = fingerprint(model)
    with torch.no_grad():
        weight = model.model.layers[1].mlp.down_proj.weight
        weight[3, 5] = torch.nextafter(weight[3, 5], torch.tensor(torch.inf))
    assert fingerprint(model) != before


def test_a_setting_that_changes_the_function_changes_it() -> None:
    model = tiny_llama()
    before = fingerprint(model)
    model.config.rms_norm_eps = 1e-3
    assert fingerprint(model) != before


def test_dtype_changes_it_and_low_precision_works() -> None:
    model = tiny_llama()
    seen = {fingerprint(model.to(dtype)) for dtype in (torch.float32, torch.bfloat16, torch.float16)}
    assert len(seen) == 3


def test_weights_swapped_between_layers_change_it() -> None:
    """A hash of the bag of tensors, without their names, would not see this."""
    model = tiny_llama()
    before = fingerprint(model)
    first, second = model.model.layers
    first.mlp, second.mlp = second.mlp, first.mlp
    assert fingerprint(model) != before


def test_tied_and_equal_weights_count_the_same() -> None:
    model = tiny_llama(tied=True)
    before = fingerprint(model)
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    assert fingerprint(model) == before
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    assert fingerprint(model) != before


def test_the_layout_in_memory_does_not_matter() -> None:
    weight = torch.randn(4, 6)
    assert tensor_hash(weight) == tensor_hash(weight.t().contiguous().t())
    assert tensor_hash(weight) != tensor_hash(weight.reshape(6, 4))
    assert tensor_hash(weight) == tensor_hash(torch.cat([weight, weight])[4:])


def test_any_module_has_one() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Embedding(0, 3))
    before = fingerprint(module)
    assert fingerprint(copy.deepcopy(module)) == before
    module[1](torch.randn(5, 4))
    assert fingerprint(module) != before, "running statistics are part of what it computes"


def test_a_model_without_weights_is_refused() -> None:
    with torch.device("meta"):
        model = tiny_llama()
    with pytest.raises(InputError, match=r"no weights to fingerprint: .* on the meta device"):
        fingerprint(model)


def test_a_network_tells_the_weights_that_it_has_now() -> None:
    network = Network.of(load_native(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    first = network.fingerprint
    assert network.fingerprint is network.__dict__["_fingerprint"][1]  # taken once
    weights: Any = network.native
    with torch.no_grad():
        weights[0].weight[0, 0] += 1
    second = network.fingerprint
    weights[1].running_mean.fill_(3)
    third = network.fingerprint
    weights[0].weight = nn.Parameter(torch.zeros(2, 2))
    fourth = network.fingerprint
    weights.load_state_dict({name: torch.ones_like(value) for name, value in weights.state_dict().items()})
    found = [first, second, third, fourth, network.fingerprint]
    assert len(set(found)) == 5
    assert found[-1] == fingerprint(network.native)
