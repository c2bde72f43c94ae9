"""The model of a wiring.

Heads that are not spoken for, and as many spare neurons as are asked for, get random weights: they read everything and
write to a channel of junk that no part of the circuit reads, so they are busy and have no effect (or, with `background`, a
small one). The whole stream is turned by a random rotation at the end, so nothing lies along single dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import DataError
from assay.engine.model import Model, load
from assay.models.plain import PlainConfig, PlainTransformer
from assay.training.planted.wiring import Port, Wiring

JUNK = "junk"
JUNK_SIZE = 4
JUNK_SCALE = 0.5
LOUD = 3.0
"""How much larger than that the values of spare heads are, and up to how much what they and spare neurons write: as large as
what a circuit writes, so that size alone tells nothing."""
FEWEST_POSITIONS = 6
"""Positions that a model is traced on when its sites are found."""


def plant(wiring: Wiring, *, seed: int, heads: int = 3, spare_neurons: int = 4, background: float = 0.0) -> Model:
    """The model in double precision, with `heads` heads in every layer.

    `background`: the size of what spare heads add to the channels that logits are read from. Sites are found on random
    weights, which show the same code without the zeros and equal numbers of a circuit.

    Raises:
        DataError: the wiring needs more heads in a layer.
    """
    needed = max((head.index + 1 for head in wiring.heads), default=0)
    if needed > heads:
        raise DataError(f"This wiring needs {needed} heads in a layer; {heads} were allowed.")
    made = Weights(wiring, heads, spare_neurons if wiring.neurons else 0, torch.Generator().manual_seed(seed))
    return holding(made.config(), turned(made.state(background), seed), seed)


def holding(config: PlainConfig, state: Mapping[str, Tensor], seed: int) -> Model:
    """A model with these weights, whose sites were found on random ones."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        native = PlainTransformer(config)
    model = load(native.double().eval().requires_grad_(False))
    _ = model.network.norms  # found by what modules do, so before the circuit is written
    with torch.no_grad():
        model.native.load_state_dict({name: weight.double() for name, weight in state.items()})
    return model


def turned(state: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """The same network with its residual stream turned by a random rotation."""
    width = state["embed.weight"].shape[1]
    random = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=random, dtype=torch.float64))

    def moved(name: str, weight: Tensor) -> Tensor:
        if name.endswith("up.bias"):
            return weight
        writes = name.endswith(("o_proj.weight", "down.weight"))
        found: Tensor = turn.T @ weight if writes else weight @ turn
        return found

    return {name: moved(name, weight.double()) for name, weight in state.items()}


class Weights:
    """The tensors of a wiring."""

    def __init__(self, wiring: Wiring, heads: int, spare: int, random: torch.Generator) -> None:
        self.wiring, self.heads, self.spare, self.random = wiring, heads, spare, random
        self.positions = max(wiring.length, FEWEST_POSITIONS)
        self.places: dict[str, slice] = {}
        start = 0
        for name, size in {**wiring.channels, JUNK: JUNK_SIZE}.items():
            self.places[name] = slice(start, start + size)
            start += size
        self.width = start
        ports = [p for head in wiring.heads for p in (*head.query, *head.key, *head.value)]
        self.d_head = max([JUNK_SIZE, *(matrix.shape[1] for _, matrix in ports)])
        counts = [sum(len(n.bias) for n in wiring.neurons if n.layer == i) for i in range(wiring.depth)]
        self.d_mlp = max(counts) + spare if wiring.neurons else 0

    def config(self) -> PlainConfig:
        """Sizes; scores are not scaled."""
        wiring = self.wiring
        return PlainConfig(
            vocab_size=wiring.vocabulary, d_model=self.width, n_layers=wiring.depth, n_heads=self.heads,
            d_head=self.d_head, d_mlp=self.d_mlp, max_positions=self.positions, causal=wiring.causal, qk_scale=1.0,
        )  # fmt: skip

    def state(self, background: float) -> dict[str, Tensor]:
        """All parameters by name."""
        state = {
            "embed.weight": self._read(self.wiring.embedding, self.wiring.vocabulary),
            "positions.weight": self._read(self.wiring.positions, self.positions),
            "unembed.weight": self._columns(self.wiring.unembedding, self.wiring.vocabulary).T,
        }
        for layer in range(self.wiring.depth):
            at = f"layers.{layer}"
            for name, weight in self._attention(layer, background).items():
                state[f"{at}.attn.{name}_proj.weight"] = weight
            if self.d_mlp:
                up, bias, down, shift = self._mlp(layer)
                state |= {f"{at}.mlp.up.weight": up, f"{at}.mlp.up.bias": bias}
                state |= {f"{at}.mlp.down.weight": down, f"{at}.mlp.down.bias": shift}
        return state

    def _attention(self, layer: int, background: float) -> dict[str, Tensor]:
        """Projections as linear layers keep them: [out, in]."""
        found: dict[str, list[Tensor]] = {name: [] for name in "qkvo"}
        wired = {head.index: head for head in self.wiring.heads if head.layer == layer}
        for index in range(self.heads):
            head = wired.get(index)
            if head is None:
                for name, scale in (("q", 1.0), ("k", 1.0), ("v", LOUD)):
                    found[name].append(self._noise(self.d_head, self.width, scale=scale * JUNK_SCALE))
                found["o"].append(self._idle(background))
                continue
            for name, ports in (("q", head.query), ("k", head.key), ("v", head.value)):
                found[name].append(self._columns(ports, self.d_head).T)
            found["o"].append(self._read(head.write, self.d_head).T)
        return {name: torch.cat(parts, dim=1 if name == "o" else 0) for name, parts in found.items()}

    def _idle(self, background: float) -> Tensor:
        """The output of a spare head: junk, and a little of what logits are read from."""
        out = torch.zeros(self.width, self.d_head, dtype=torch.float64)
        out[self.places[JUNK]] = self._noise(JUNK_SIZE, self.d_head, scale=self._loudness())
        for channel, _ in self.wiring.unembedding:
            out[self.places[channel]] = self._noise(self.wiring.channels[channel], self.d_head, scale=background)
        return out

    def _mlp(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mine = [group for group in self.wiring.neurons if group.layer == layer]
        up = [self._columns(group.read, len(group.bias)).T for group in mine]
        down = [self._read(group.write, len(group.bias)).T for group in mine]
        bias = [group.bias.double() for group in mine]
        idle = self.d_mlp - sum(len(b) for b in bias)
        up.append(self._noise(idle, self.width, scale=JUNK_SCALE))
        bias.append(self._noise(1, idle, scale=JUNK_SCALE)[0])
        junk = torch.zeros(self.width, idle, dtype=torch.float64)
        junk[self.places[JUNK]] = self._noise(JUNK_SIZE, idle, scale=self._loudness())
        shifts = [self._read(group.shift, 1)[0] for group in mine]
        shift = sum(shifts, torch.zeros(self.width, dtype=torch.float64))
        return torch.cat(up), torch.cat(bias), torch.cat([*down, junk], dim=1), shift

    def _read(self, ports: Sequence[Port], rows: int) -> Float[Tensor, "row d_model"]:
        """Matrices [row, channel] at their channels."""
        whole = torch.zeros(rows, self.width, dtype=torch.float64)
        for channel, matrix in ports:
            whole[: matrix.shape[0], self.places[channel]] += matrix.double()
        return whole

    def _columns(self, ports: Sequence[Port], columns: int) -> Float[Tensor, "d_model column"]:
        """Matrices [channel, column] at their channels."""
        whole = torch.zeros(self.width, columns, dtype=torch.float64)
        for channel, matrix in ports:
            whole[self.places[channel], : matrix.shape[1]] += matrix.double()
        return whole

    def _noise(self, rows: int, columns: int, *, scale: float) -> Tensor:
        drawn = torch.randn(rows, columns, generator=self.random, dtype=torch.float64)
        scaled: Tensor = drawn * (scale / max(columns, 1) ** 0.5)
        return scaled

    def _loudness(self) -> float:
        return float(LOUD ** (2 * torch.rand(1, generator=self.random, dtype=torch.float64) - 0.5))
