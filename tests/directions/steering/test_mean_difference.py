"""The difference of means: what it is by hand, which way it points, and what is said of the first token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.directions.steering.planted import MODEL, NO, YES, two_sided
from tests.tiny_pairs import tiny_llama

from assay.core.errors import DataError, SettingsError
from assay.directions.steering import mean_difference, turned

SITE = "L1.resid_post"


def _captured(side: str, *, pos: object) -> np.ndarray:
    pairs = two_sided()
    tokens = pairs.clean_tokens if side == "clean" else pairs.corrupt_tokens
    values = MODEL.run(tokens, capture=SITE)[SITE].numpy()
    return values[:, pos]


@pytest.mark.parametrize("at", [-1, "subject", [2, 3], slice(4, None)])
def test_it_is_the_mean_of_the_stated_positions(at: object) -> None:
    pos = {"subject": [3], -1: [-1]}.get(at, at) if isinstance(at, int | str) else at
    clean, corrupt = (_captured(side, pos=pos).mean(1) for side in ("clean", "corrupt"))
    found = mean_difference(MODEL, two_sided(), at=at, layers=(1,))
    assert found.names == (SITE,)
    np.testing.assert_allclose(found[SITE].vector, (clean - corrupt).mean(0), atol=1e-12)  # sums in double precision
    np.testing.assert_allclose(found[SITE].read(clean).mean(), 1, atol=1e-12)
    np.testing.assert_allclose(found[SITE].read(corrupt).mean(), -1, atol=1e-12)


def test_one_pair_is_the_pairs_own_difference() -> None:
    found = mean_difference(MODEL, two_sided()[:1], at="end")
    first, second = (_captured(side, pos=-1)[0] for side in ("clean", "corrupt"))
    np.testing.assert_allclose(found[SITE].vector, first - second, atol=1e-12)
    assert found.per_example is not None
    np.testing.assert_allclose(found.per_example, 1, atol=1e-12)


def test_pairs_that_point_both_ways_are_refused_or_turned() -> None:
    straight, mixed = two_sided(), two_sided(mixed=True)
    with pytest.raises(DataError, match=r"point both ways: .*'5' and now '9'.*towards='9'"):
        mean_difference(MODEL, mixed, at="end")
    found = mean_difference(MODEL, mixed, at="end", towards=str(YES))
    assert found.labels == (str(NO), str(YES))
    np.testing.assert_array_equal(found.vectors, mean_difference(MODEL, straight, at="end").vectors)
    back = mean_difference(MODEL, mixed, at="end", towards=str(NO))
    np.testing.assert_array_equal(back.vectors, -found.vectors)
    assert turned(mixed, str(YES)).clean_tokens.tolist() == straight.clean_tokens.tolist()
    with pytest.raises(DataError, match="'6' on neither side: its sides have 5, 9"):
        mean_difference(MODEL, mixed, at="end", towards="6")


def test_layers_and_depths() -> None:
    pairs = two_sided()
    assert mean_difference(MODEL, pairs, at="end", depths=(0, 0.5, 1)).layers == (0, 1, 2)
    assert mean_difference(MODEL, pairs, at="end", depths=(1.0,), site="mlp_out").names == ("L2.mlp_out",)
    with pytest.raises(SettingsError, match=r"no layer of \[7\]"):
        mean_difference(MODEL, pairs, at="end", layers=(7,))
    with pytest.raises(SettingsError, match="fractions from 0 to 1"):
        mean_difference(MODEL, pairs, at="end", depths=(2.0,))
    with pytest.raises(SettingsError, match="one vector for each token"):
        mean_difference(MODEL, pairs, at="end", site="z")
    with pytest.raises(DataError, match=r"the same at L0\.resid_pre, positions end"):
        mean_difference(MODEL, pairs, at="end", site="L0.resid_pre")


def test_a_first_token_that_is_averaged_is_said() -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.native.get_input_embeddings().weight[3] *= 200  # type: ignore[operator]
    from dataclasses import replace

    pairs = two_sided()
    examples = [
        e.model_copy(update={"clean": (3, *e.clean), "corrupt": (3, *e.corrupt), "positions": {}}) for e in pairs
    ]
    led = replace(pairs, examples=tuple(examples), tokens=None).align(None)
    (fact,) = mean_difference(model, led, at=None).facts[1:]
    assert fact.startswith("caveat: the first token is among") and "attention sink" in fact
    assert len(mean_difference(model, led, at={"start": 1}).facts) == 1
