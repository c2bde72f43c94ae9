"""Where results come from."""

from datetime import datetime

import pytest
from pydantic import ValidationError

from assay.core.provenance import Cost, Provenance


def test_now_records_versions_and_the_time() -> None:
    made = Provenance.now(model_fingerprint="sha256:ab", facts=["cast to float32"])
    assert {"python", "torch", "transformers", "assay", "numpy"} <= set(made.versions)
    assert made.versions["torch"][0].isdigit()
    assert datetime.fromisoformat(made.created).tzinfo is not None
    assert Provenance.model_validate_json(made.model_dump_json()) == made


def test_a_fact_is_kept_once() -> None:
    assert Provenance(facts=("a",)).with_facts("b", "a").facts == ("a", "b")


def test_costs_add_up_and_peaks_do_not() -> None:
    total = Cost(passes=2, seconds=1.5, peak_bytes=10, flops=1.0) + Cost(passes=3, seconds=0.5, flops=0.5)
    assert (total.passes, total.seconds) == (5, 2.0)
    assert total.peak_bytes is None and total.flops == 1.5
    assert (Cost(peak_bytes=10) + Cost(peak_bytes=7)).peak_bytes == 10


def test_what_is_persisted_is_closed() -> None:
    with pytest.raises(ValidationError):
        Cost(pases=1)
