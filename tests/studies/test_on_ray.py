"""A study on a real Ray cluster: sweeps are shared out, the rest stays here, and the numbers are the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.studies.replicas import Place, short_study

from assay.engine.ray import Ray
from assay.studies.on_ray import cluster_at, on_ray
from assay.studies.run import default_sources, run_study

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with Ray(workers=2, cpus=1) as found:
            yield found
    finally:
        ray.shutdown()


def test_sweeps_are_shared_out_and_numbers_are_the_same(replica: Place, cluster: Ray, tmp_path: Path) -> None:
    """1e-5 of the largest: the schedule's batches have other sizes there, in single precision."""
    study = short_study(replica.model)
    apart = run_study(study, tmp_path / "apart", sources=on_ray(default_sources(), cluster))
    here = run_study(study, tmp_path / "here")
    facts = {name: " ".join(step.facts) for name, step in apart.results.items()}
    assert "engine: ray" in facts["heads"] and "engine: ray" not in facts["accuracy"]
    for name, step in here.results.items():
        for variable in step.data.data_vars:
            one, two = step.data[variable].values, apart.results[name].data[variable].values
            if one.dtype.kind == "f":
                np.testing.assert_allclose(
                    two, one, atol=1e-5 * max(1.0, np.nanmax(np.abs(one))), err_msg=str(variable)
                )
    assert [v.outcome for v in apart.verdicts] == [v.outcome for v in here.verdicts]


def test_the_cluster_that_a_person_names() -> None:
    assert cluster_at("local").address is None and cluster_at("ray://head:10001").address == "ray://head:10001"
