"""One of two processes that share a tiny model: run by `test_tensor_parallel.py` under torchrun. Says `same` at the end."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed
from tests.tiny_pairs import tiny_llama
from transformers import AutoModelForCausalLM

import assay
from assay import edit, metric, sweep
from assay.core.errors import SiteError

IDS = [[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]]
OTHER = [[3, 1, 9, 1, 5], [2, 7, 3, 8, 2]]


def main(folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    plain = tiny_llama()
    native = AutoModelForCausalLM.from_pretrained(folder, tp_plan="auto", dtype=torch.float64)
    parted = assay.load(native)
    assert parted.fingerprint == plain.fingerprint
    assert not {site.name.name for site in parted.sites} & {"z", "q", "k", "pattern", "mlp_post"}
    with pytest.raises(SiteError, match="spreads heads and neurons over 2 processes"):
        parted.run(IDS, capture="z")
    more = {"capture": ["resid_mid", "resid_post", "attn_out", "mlp_out"], "sources": {"other": OTHER}}
    edits = [edit.patch("L1.resid_post", "other", pos=2), edit.zero("L2.mlp_out", pos=-1)]
    one, two = (model.run(IDS, edits=edits, **more) for model in (parted, plain))  # type: ignore[arg-type]
    torch.testing.assert_close(one.logits, two.logits, atol=2e-6, rtol=1e-5)  # sums of halves, and norms in float32
    for site in two.captured:
        torch.testing.assert_close(one[site], two[site], atol=2e-6, rtol=1e-5)
    experiment = sweep(
        edit.patch("resid_pre", source="other"), over=["layer", "pos"],
        inputs={"clean": IDS, "other": OTHER}, base="clean", metrics=[metric.logit_diff(7, 8)],
    )  # fmt: skip
    wanted = plain.measure(experiment)["logit_diff"].values
    for engine in ("naive", "scheduled"):
        found = parted.measure(experiment, engine=engine)["logit_diff"].values  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted, atol=2e-6, rtol=1e-5)
    torch.distributed.barrier()
    if os.environ["RANK"] == "0":
        print("same")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
