"""Layers behind which something happens to the stream, written out by hand: Dory's loops, Inkling 2's attention over layers.

Native layers, norms and heads are called one by one, with the arguments that native code gave them in a pass on the same
tokens; what is done between them is written out here. Nothing of assay is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Reads = Callable[[str, str], bool]
"""Whether a receiver reads what a sender writes here (True) or in the other run."""


@dataclass
class ByHand:
    """One run of a native model: what each sender wrote, what each receiver read, and the logits."""

    native: nn.Module
    ids: Tensor
    reads: Reads
    other: ByHand | None = None
    wrote: dict[str, Tensor] = field(default_factory=dict)
    read: dict[str, Tensor] = field(default_factory=dict)
    also: dict[str, Tensor] = field(default_factory=dict)
    """What a layer hands on beside the stream."""

    @torch.no_grad()
    def logits(self) -> Tensor:
        self.wrote["embed"] = self.native.model.embed_tokens(self.ids)  # type: ignore[union-attr, operator]
        kinds = {"dory": self._dory, "inkling2_text": self._inkling, "inkling2_loop_text": self._loops}
        return kinds[self.native.config.model_type]()  # type: ignore[union-attr]

    def _here(self, sender: str, receiver: str) -> bool:
        return self.other is None or self.reads(sender, receiver)

    def stream(self, receiver: str, upto: int) -> Tensor:
        """The stream that enters a layer, as a receiver reads it."""
        names = ["embed", *(f"L{layer}.block" for layer in range(upto))]
        parts = [self.wrote[s] if self._here(s, receiver) else self.other.wrote[s] for s in names]  # type: ignore[union-attr]
        return torch.stack(parts).sum(0)

    def passing(self, layer: int) -> Tensor:
        """The stream in front of a layer, of which nothing is cut."""
        return torch.stack([self.wrote["embed"], *(self.wrote[f"L{i}.block"] for i in range(layer))]).sum(0)

    def enter(self, layer: int) -> tuple[str, Tensor]:
        name = f"L{layer}.block"
        self.read[name] = self.stream(name, layer)
        return name, self.read[name]

    def _dory(self) -> Tensor:
        model: Any = self.native.model
        config, layers, norm = self.native.config, model.layers, model.norm  # type: ignore[union-attr]
        first, loop = config.n_input_layers, list(range(config.n_recurrent_layers))
        order = [*range(first), *([first + i for i in loop] * config.n_recurrent_loops)]
        order += range(config.num_hidden_layers - config.n_output_layers, config.num_hidden_layers)
        ends = [first + len(loop) * n - 1 for n in range(config.n_recurrent_loops)]
        """The last layers in front of each loop."""
        calls, owner = given(self.native, self.ids, layers), f"L{first - 1}.block"
        for number, module in enumerate(order):
            name, x = self.enter(number)
            y = layers[module](x, **calls[number][1])
            if number == first - 1:
                self.also["start"] = norm(y)
            if number in ends:
                own = number == first - 1 or self._here(owner, name)
                y = norm(y) + (self if own else self.other).also["start"]  # type: ignore[union-attr]
            self.wrote[name] = y - x
        return self.native.lm_head(norm(self.stream("logits", len(order))))  # type: ignore[union-attr, operator]

    def _inkling(self) -> Tensor:
        model: Any = self.native.model
        layers, config, entered = model.layers, self.native.config, list[int]()  # type: ignore[union-attr]
        calls = given(self.native, self.ids, layers)
        for number, layer in enumerate(layers):
            name, x = self.enter(number)
            y = layer(x, self._side_by_side(name, entered), **calls[number][1])
            if number % config.n_layers_per_attn_res_block == 0:
                entered.append(number)
            if number == len(layers) - 1:
                y = model.final_input(self._side_by_side(name, entered), y)[0]
            self.wrote[name] = y - x
        return self._from(self.stream("logits", len(layers)))

    def _loops(self) -> Tensor:
        model: Any = self.native.model
        layers, config = model.layers, self.native.config  # type: ignore[union-attr]
        start, end = config.loop_layer_index_start, config.loop_layer_index_end
        calls, entered, before, number = given(self.native, self.ids, layers), list[int](), list[int](), 0
        order = [*range(end), *list(range(start, end)) * (config.loop_num_passes - 1), *range(end, len(layers))]
        for number, module in enumerate(order):
            name, x = self.enter(number)
            again = start <= module < end and number >= end
            if number == start:
                before = list(entered)
            if again and module == start:
                last, held, entered = f"L{number - 1}.block", entered[len(before) + 1 :], list(before)
            kwargs = dict(calls[number][1])
            more = (self._message(name, held, last, module - start),) if again else ()
            y = layers[module](x, self._side_by_side(name, entered), *more, **kwargs)
            if module % config.n_layers_per_attn_res_block == 0:
                entered.append(start if again and module == start else number)
            if module == end - 1 and number + 1 < len(order) and order[number + 1] == start:
                self.also[name] = y
                y = self.stream(name, start)
            if number == len(order) - 1:
                y = model.final_input(self._side_by_side(name, entered), y)[0]
            self.wrote[name] = y - x
        return self._from(self.stream("logits", len(order)))

    def _message(self, receiver: str, held: list[int], last: str, layer: int) -> Tensor:
        """What a layer is told of the pass before: the streams that entered its groups, and what its last layer returned."""
        y = (self if self._here(last, receiver) else self.other).also[last]  # type: ignore[union-attr]
        return self.native.model.message_input(self._side_by_side(receiver, held), y, layer)  # type: ignore[union-attr, operator, no-any-return]

    def _from(self, last: Tensor) -> Tensor:
        """Logits, with another stream in front of the last norm."""
        handle = self.native.model.final_input.register_forward_hook(lambda module, args, out: (last,))  # type: ignore[union-attr]
        try:
            return self.native(input_ids=self.ids, use_cache=False).logits  # type: ignore[no-any-return]
        finally:
            handle.remove()

    def _side_by_side(self, receiver: str, entered: list[int]) -> Tensor:
        """The streams that entered these layers, as a receiver reads them."""
        streams = [self.stream(receiver, layer) for layer in entered]
        empty = self.wrote["embed"].new_zeros(*self.ids.shape, 0, self.wrote["embed"].shape[-1])
        return torch.stack(streams, 2) if streams else empty


def given(native: nn.Module, ids: Tensor, layers: nn.ModuleList) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of each call of a layer in a native pass, in order."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args, kwargs))

    handles = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in layers]
    try:
        native(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found
