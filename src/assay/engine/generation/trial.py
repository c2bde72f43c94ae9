"""Which parts of batched generation hold for a model: tried on it once, not believed.

Two prompts of six tokens are continued by two, under edits at the first and last block and of new tokens only: one by one, as
rows of a batch that share nothing, and with every part. A batch must differ from one-by-one generation by rounding, and the
parts must change its log-probabilities by no more than ten times that; those that do are left out from then on, and results
say so. Cost: about twenty-five short passes, once for each model and process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from assay.engine.generate import Sampling
from assay.engine.generation.alone import alone
from assay.engine.generation.batches import Batches
from assay.engine.generation.decode import Row, Written
from assay.engine.generation.departure import main_chain
from assay.engine.generation.joining import RowAxes, recording, row_axes
from assay.engine.generation.passes import UnsuitedError, Work
from assay.engine.generation.prompts import PARTS
from assay.engine.generation.row_edits import placed
from assay.engine.hooks import why_tapped
from assay.engine.passes import forward
from assay.engine.prepare import prompts_of
from assay.engine.runner import Runner
from assay.engine.tried import FAILURES, Tried
from assay.experiments.experiment import Experiment
from assay.experiments.given_edits import Scale
from assay.experiments.inputs import Tokens
from assay.experiments.positions import Slice
from assay.experiments.runs import Run
from assay.models.network import Network

ROWS = "rows"
"""Many rows in one batch: without it there are no other parts."""

ALL = frozenset((ROWS, *PARTS))
_ATTEMPTS = ((), ("depth",), ("position",), ("depth", "position"), PARTS)
_ROUNDING = 1e-3
"""Of the largest logit: far more than a batch of another size changes in float32, far less than a mistake. A hundredth of it
is what any part may change."""
_FAILURES = (
    UnsuitedError, *FAILURES,
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The parts that hold, and why the others don't."""

    parts: frozenset[str] = frozenset()
    axes: RowAxes = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


_LAYOUTS = Tried[Layout]()


def layout_of(network: Network) -> Layout:
    """What holds for this model."""
    if (why := why_tapped(network)) is not None:
        return Layout(refused={ROWS: why})
    return _LAYOUTS.of(network, lambda: _tried(network))


def _tried(network: Network) -> Layout:
    if network.vocabulary is None or not network.takes("input_ids"):
        return Layout(refused={ROWS: "it takes no token ids"})
    try:
        axes, scale = _axes(network), _scale(network)
        cases = [_Case(network, pos) for pos in (None, 3, 5)]
        plain = [case.batch(Layout(frozenset((ROWS,)), axes)) for case in cases]
        noise = _difference(network, plain[0], cases[0].alone())
    except _FAILURES as error:
        return Layout(refused={ROWS: _reason(error)})
    if noise > _ROUNDING * scale * (50 if _half(network) else 1):
        return Layout(refused={ROWS: "it gives other tokens or log-probabilities than one by one"})
    limit = max(10 * noise, 0.01 * _ROUNDING * scale)
    refused: dict[str, str] = {}
    for without in _ATTEMPTS:
        layout = Layout(ALL - set(without), axes, {name: refused[name] for name in without})
        try:
            found = [case.batch(layout) for case in cases]
        except _FAILURES as error:
            problem = _reason(error)
        else:
            if all(_difference(network, *pair) <= limit for pair in zip(found, plain, strict=True)):
                return layout
            problem = "it gives other tokens or log-probabilities than without it"
        refused = {**dict.fromkeys(PARTS, problem), **refused}
    return Layout(frozenset((ROWS,)), axes, refused)


def _difference(network: Network, found: Mapping[Row, Written], wanted: Mapping[Row, Written]) -> float:
    """The largest difference of log-probabilities, infinite where tokens differ. In half precision two tokens may be close
    enough to change places, so only the first is looked at."""
    half, largest = _half(network), 0.0
    for row, there in wanted.items():
        here = found[row]
        if not half and here.tokens != there.tokens:
            return float("inf")
        pairs = list(zip(here.logprobs, there.logprobs, strict=False))[: 1 if half else None]
        largest = max([largest, *(abs(a - b) if a == a and b == b else float("inf") for a, b in pairs)])
    return largest


def _half(network: Network) -> bool:
    return next(network.native.parameters()).dtype not in (torch.float32, torch.float64)


def _scale(network: Network) -> float:
    """The largest logit, of which rounding is a part."""
    logits = forward(network, {"input_ids": _ids(network, 2)}).output
    return 1.0 if logits is None else float(logits[logits.isfinite()].abs().max())


def _axes(network: Network) -> RowAxes:
    chain = main_chain(network)
    if chain is None:
        return {}
    seen = []
    for rows in (2, 3):
        found: dict[str, list[tuple[int, ...] | None]] = {}
        ids = _ids(network, rows)
        with recording(network, chain, found), torch.no_grad():
            settings = {**Sampling(max_new_tokens=1).arguments(), "pad_token_id": 0}
            network.native.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)  # type: ignore[operator]
        seen.append(found)
    return row_axes(*seen)


def _ids(network: Network, rows: int) -> torch.Tensor:
    size = network.vocabulary or 1
    ids = torch.randint(size // 2, size, (rows, 6), generator=torch.Generator().manual_seed(0))
    return ids.to(network.device)


class _Case:
    """Edits at a position of the prompt (None: everywhere) in two blocks, and one of new tokens only."""

    def __init__(self, network: Network, pos: int | None) -> None:
        self.network, self.sampling = network, Sampling(max_new_tokens=2)
        chain = main_chain(network)
        stack = None if chain is None else chain.stack
        named = [s for s in network.structure.sites.values() if s.name.name == "resid_post" and s.name.stack == stack]
        chosen = [named[0], named[-1]] if named else []
        edits = [Scale(site=str(site), factor=-0.5, pos=pos) for site in chosen]
        edits += [Scale(site=str(site), factor=-0.5, step=Slice(start=1)) for site in chosen[:1]]
        self.runs = [Run(input="input", edits=(edit,)) for edit in edits] or [Run(input="input")]
        tokens = Tokens(tokens=tuple(map(tuple, _ids(network, 2).tolist())))
        self.experiment = Experiment(inputs={"input": tokens}, runs={"main": self.runs[0]}, main="main")
        self.prompts = prompts_of(network, self.experiment)

    def alone(self) -> Mapping[Row, Written]:
        """One row of each variant, one by one."""
        found: dict[Row, Written] = {}
        for variant, run in enumerate(self.runs):
            made = alone(self._runner, [run], [variant % 2], seeds=(0,), sampling=self.sampling, work=Work())
            found[variant, variant % 2, 0] = made[0, 0, 0]
        return found

    def batch(self, layout: Layout) -> Mapping[Row, Written]:
        """All rows at once."""
        variants = [placed(self.network, run.edits) for run in self.runs]
        runner, seeds = self._runner([0, 1]), (0, 1)
        made = Batches(runner, self.runs[0], variants, seeds, 64, layout.parts, layout.axes, Work(), {})
        return made.generate(self.sampling)

    def _runner(self, rows: Sequence[int]) -> Runner:
        return Runner(self.network, self.experiment, self.prompts, rows)


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines()
    return (
        f"{type(error).__name__}: {lines[0][:80] if lines else ''}"
        if not isinstance(error, UnsuitedError)
        else lines[0]
    )
