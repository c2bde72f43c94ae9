"""Passes that unembed only what is read give the gradients that were asked for, whatever the caller's state."""

from __future__ import annotations

import torch
from tests.tiny_pairs import tiny_llama

from assay import Experiment, Run, capture, metric


def test_gradients_are_found_where_the_caller_has_switched_them_off() -> None:
    model = tiny_llama()
    of = metric.logit_diff([3], [4])
    experiment = Experiment(
        inputs={"x": [[5, 6, 7, 8]]},
        runs={"main": Run(input="x", captures=[capture.grad("mlp_out", of=of)])},
        main="main",
    )
    with torch.no_grad():
        found, wanted = (model.measure(experiment, engine=engine) for engine in ("scheduled", "naive"))
    for name, values in wanted.data.variables.items():
        if str(name).startswith("grad."):
            assert abs(values).max() > 0
            torch.testing.assert_close(torch.tensor(found.data[name].values), torch.tensor(values.values))
    assert any(str(name).startswith("grad.") for name in wanted.data.variables)
