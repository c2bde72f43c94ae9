"""One plain forward pass of the native model, with changes at sites and tensors kept from it.

Nothing is copied that needs no copy. Native code may write into a tensor after it has passed a site; torch counts such
writes, so they are seen at the end, and the pass is made again with copies of those sites. From then on the model's passes
copy them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.errors import ExperimentError, InputError
from assay.engine.ends import EnoughError
from assay.engine.hooks import Action, Change, Tapping
from assay.models.codebooks import by_example, of_examples
from assay.models.decoder_start import told_without_decoder_inputs
from assay.models.ends import output_key
from assay.models.network import Network
from assay.models.ports import get_output
from assay.models.structure import Site
from assay.models.views import Frame


@dataclass
class Kept:
    """What one pass left: the model's main output, and the tensors at the sites that were asked for."""

    output: Tensor | None
    sites: dict[Site, Tensor] = field(default_factory=dict)
    native: Any = None

    @property
    def logits(self) -> Tensor | None:
        """The main output, as a `RunResult` calls it."""
        return self.output

    def __getitem__(self, index: object) -> Tensor:
        raise ExperimentError(
            "a function that measures gets the run, not its logits: read run.logits[…], or run.sites."
        )


def forward(
    network: Network,
    inputs: Mapping[str, Any],
    changes: Sequence[tuple[Site, Change]] = (),
    keep: Iterable[Site] = (),
    *,
    once: bool = False,
    ends: bool = False,
) -> Kept:
    """Run the native model without derivatives. Every site that is changed must be reached, or the pass is an error.

    With `once`, everything that is kept is copied, so that one pass is enough whatever native code does. With `ends` there
    is no output, and changes after the last site that is kept are not reached.
    """
    once = once or inputs.get("past_key_values") is not None  # a second pass would lengthen it once more
    kept, wanted = Kept(None), dict.fromkeys(keep)
    overwritten = _overwritten.setdefault(network.native, set())
    places: set[int] = set()
    written: list[tuple[Site, Tensor, int]] = []

    def keeper(site: Site) -> Any:
        copied = once or site in overwritten or site.layer is None  # outside the layers it may be a weight

        def store(value: Tensor) -> None:
            put(value)
            if ends and len(kept.sites) == len(wanted):
                raise EnoughError

        def put(value: Tensor) -> None:
            base, place = value._base, value.data_ptr()
            part = base is not None and base.nbytes > 2 * value.nbytes  # would hold all of it in memory
            if copied or part or place in places or value.is_inference():
                kept.sites[site] = value.clone()
                return
            places.add(place)
            written.append((site, value, value._version))
            kept.sites[site] = value

        return store

    actions = [Action(site, change=change) for site, change in changes]
    actions += [Action(site, keep=keeper(site)) for site in wanted]
    told = told_without_decoder_inputs(network.native, inputs)
    with torch.no_grad(), told, Tapping(network, actions) as tapping, suppress(EnoughError):
        kept.native = network.native(**on_device(network, inputs))
    late = [site for site, value, version in written if value._version != version]
    if late:
        overwritten.update(late)
        return forward(network, inputs, changes, wanted, ends=ends)
    ended = kept.native is None
    refuse_unreached([action for action in actions if not (ended and action.change)], tapping)
    kept.output = None if ended else main_output(network, kept.native)
    return kept


def refuse_unreached(actions: Sequence[Action], tapping: Tapping) -> None:
    """Raise ExperimentError for actions at sites that a pass did not reach."""
    unreached = [str(a.site) for a in actions if id(a) not in tapping.fired]
    if unreached:
        raise ExperimentError(
            f"{unreached[0]} was not reached in this pass ({len(unreached)} of {len(actions)} sites): the model did "
            "not run that part with these inputs, so an edit or capture there would do nothing."
        )


def main_output(network: Network, native: Any) -> Tensor | None:
    """The main tensor of what a native model returned: its logits, those of an example together."""
    found = get_output(native, output_key(native))
    if not isinstance(found, Tensor):
        return None
    return of_examples(network.native).read(found, Frame(found.shape[0], found.shape[1] if found.ndim > 1 else 1))


_overwritten: WeakKeyDictionary[nn.Module, set[Site]] = WeakKeyDictionary()
"""Sites into whose tensors a model's native code writes later in the pass."""


def on_device(network: Network, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs on the device where the model takes them; without a cache unless one is given."""
    device = network.device
    moved = {name: _moved(value, device) for name, value in by_example(inputs, network.native).items()}
    _check_ids(network, moved.get("input_ids"))
    if "position_ids" not in moved:
        check_length(network, moved.get("input_ids"))
    if "input_ids" in moved and network.token_argument not in ("input_ids", *moved):
        moved[network.token_argument] = moved.pop("input_ids")
    if "use_cache" not in moved and "input_ids" in moved and network.takes("use_cache"):
        moved["use_cache"] = False
    return moved


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) is dict:
        return {name: _moved(each, device) for name, each in value.items()}
    return tuple(_moved(each, device) for each in value) if type(value) is tuple else value


def _check_ids(network: Network, ids: Tensor | None) -> None:
    size = network.vocabulary
    if ids is None or size is None or ids.numel() == 0:
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= size:
        raise InputError(
            f"token id {high if high >= size else low} is out of range: this model knows ids 0-{size - 1}."
        )


def check_length(network: Network, ids: Tensor | None, more: int = 0) -> None:
    """Raise InputError for prompts that go, with `more` tokens after them, past the last learned position."""
    if ids is None or network.longest is None or ids.ndim < 2:
        return
    if ids.shape[-1] + more > network.longest:
        after = f" and {more} after it" if more else ""
        raise InputError(
            f"a prompt of {ids.shape[-1]} tokens{after} is too long: this model has learned positions for at most "
            f"{network.longest}. Shorten it."
        )
