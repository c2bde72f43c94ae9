"""Every bad rule is refused before a document is read or the model runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from assay.core.errors import AssayError, ExperimentError, InputError, SettingsError, SiteError
from assay.engine.harvest import Rules
from assay.engine.model import Model


def never() -> Iterator[list[int]]:
    """A corpus that must not be read."""
    raise AssertionError("the corpus was read")
    yield []


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({"sites": "L9.z"}, SiteError, "L9"),
        ({"sites": ()}, SettingsError, "no site"),
        ({"dtype": "int7"}, SettingsError, "dtype 'int7' is not known: expected float32"),
        ({"pos": "subject"}, InputError, "'subject' is no position of a corpus"),
        ({"pos": [0, "subject"]}, InputError, "'subject'"),
        ({"pos": slice("subject", None)}, InputError, "'subject'"),
        ({"pos": 512}, InputError, "pieces have 512 tokens"),
        ({"pos": slice(7, None), "context": 7}, InputError, "pieces have 7 tokens"),
        ({"pos": []}, ExperimentError, "empty list"),
        ({"pos": 1.5}, ExperimentError, "does not select"),
        ({"pos": slice(None, None, -1)}, ExperimentError, "forwards"),
        ({"context": 0}, SettingsError, "context=0 makes no sense"),
        ({"batch": 2.5}, SettingsError, "batch=2.5"),
        ({"top": True}, SettingsError, "top=True"),
        ({"bach": 2}, SettingsError, "'bach' is no rule.* Nearest: batch"),
        ({"layout": "paked"}, SettingsError, "layout 'paked' is not known.* Nearest: packed"),
        ({"statistics": "meen"}, SettingsError, "'meen' is not known.* Nearest: mean"),
        ({"statistics": {"L0.z": "mean"}}, SettingsError, "L0.z, which is not among the harvested"),
        ({"activations": False}, SettingsError, "would keep nothing"),
        ({"activations": 1}, SettingsError, "activations=1"),
        ({"sites": "L1.pattern", "layout": "packed"}, InputError, "as wide as the prompt"),
        ({"sites": "L1.pattern", "statistics": "mean"}, SettingsError, "as wide as the prompt"),
    ],
)
def test_refused_before_anything_runs(
    llama: Model, rules: dict[str, Any], error: type[AssayError], message: str
) -> None:
    with pytest.raises(error, match=message):
        llama.harvest(never(), **({"sites": "L1.z"} | rules))


def test_the_same_rules_in_other_words_share_a_folder() -> None:
    one = Rules.of("L1.z", slice(1, None), statistics="mean")
    two = Rules.of(["L1.z"], slice(1, None), statistics=("mean",), batch=3, top=4)
    assert one.key("model") == two.key("model")
    assert one.key("model") != Rules.of("L1.z", slice(1, None), statistics="norm").key("model")
    assert Rules.of("L1.z", statistics="top").key("") != Rules.of("L1.z", statistics="top", top=4).key("")
