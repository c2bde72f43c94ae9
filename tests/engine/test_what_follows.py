"""Metrics of what follows, on models that see it, and answers that can't be put after their prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.conformance import zoo

from assay import Experiment, Run, capture, metric
from assay.core.errors import ExperimentError
from assay.engine.model import Model, load
from assay.engine.what_follows import looks_ahead

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
AHEAD = ("BertForMaskedLM", "RobertaForMaskedLM", "ModernBertForMaskedLM", "FNetForMaskedLM")
CAUSAL = ("llama", "gpt2", "mamba", "mixtral", "recurrent_gemma", "bloom", "bert")


@pytest.fixture(scope="module")
def bert() -> Model:
    return load(zoo.build("BertForMaskedLM")[0])


@pytest.mark.parametrize("name", AHEAD)
def test_encoders_look_ahead(name: str) -> None:
    assert looks_ahead(load(zoo.build(name)[0]).network)


@pytest.mark.parametrize("name", CAUSAL)
def test_decoders_do_not(name: str) -> None:
    """Attention, recurrences and experts, and Bert's own decoder: told by what they do."""
    model = load(zoo.build(name)[0])
    assert not looks_ahead(model.network)
    assert model.run(IDS, metrics=metric.loss(reduce="mean")).metrics["loss"].shape == (2,)


def test_the_loss_of_next_tokens_that_were_seen_is_refused(bert: Model) -> None:
    message = "'loss' is the loss of each next token, and this model reads a text in both directions.*metric.logprob"
    experiment = Experiment(inputs={"x": IDS}, runs={"main": Run(input="x")}, main="main", metrics=[metric.loss()])
    calls: dict[str, Any] = {
        "run": lambda: bert.run(IDS, metrics=metric.loss()),
        "measure": lambda: bert.measure(experiment),
        "naive": lambda: bert.measure(experiment, engine="naive"),
        "gradients": lambda: bert.gradients(IDS, of=metric.loss(), sites="resid_post"),
        "a captured gradient": lambda: bert.run(IDS, capture=capture.grad("L0.z", of=metric.loss())),
    }
    for call in calls.values():
        with pytest.raises(ExperimentError, match=f"(?s){message}"):
            call()


def test_answers_of_several_tokens_too_and_of_one_not(bert: Model) -> None:
    with pytest.raises(ExperimentError, match="scores the later tokens of an answer"):
        bert.run(IDS, metrics=metric.logprob([(5, 6), (5, 6)]))
    found = bert.run(IDS, metrics=metric.logprob(9, pos=2)).metrics["logprob"]
    with torch.no_grad():
        wanted = bert.native(torch.tensor(IDS)).logits[:, 2].log_softmax(-1)[:, 9]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_dropout_is_not_taken_for_a_look_ahead() -> None:
    native, _ = zoo.build("gpt2")
    for module in native.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    assert not looks_ahead(load(native.train()).network)


def test_an_answer_is_put_after_the_models_own_inputs(llama: Model) -> None:
    """With a mask that leaves out the first token of one prompt; other inputs for each token can't be guessed."""
    ids, mask = torch.tensor(IDS), torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 1, 1]])
    own = {"input_ids": ids, "attention_mask": mask}
    found = llama.run(own, metrics=metric.logprob([(3, 4), (8, 2)])).metrics["logprob"]
    for row, (first, second) in enumerate([(3, 4), (8, 2)]):
        longer = torch.cat([ids[row], torch.tensor([first])])[None]
        with torch.no_grad():
            log = llama.native(longer, attention_mask=torch.cat([mask[row], torch.ones(1).long()])[None]).logits
        log = log.double().log_softmax(-1)[0]
        assert found[row].item() == pytest.approx(float(log[4, first] + log[5, second]), abs=1e-9)
    placed = {**own, "position_ids": torch.arange(5).expand(2, -1)}
    with pytest.raises(ExperimentError, match=r"has position_ids of its own.*score the last"):
        llama.run(placed, metrics=metric.logprob([(3, 4), (8, 2)]))


def test_an_answer_of_several_tokens_after_two_sequences_is_refused() -> None:
    native, inputs = zoo.build("T5ForConditionalGeneration")
    with pytest.raises(ExperimentError, match="'input' is not one sequence of tokens"):
        load(native).run(inputs, metrics=metric.logprob([(3, 4)]))
