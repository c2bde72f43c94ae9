"""The facts of a loaded network and of an experiment's tokenised inputs, for `expand` and `check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.core.errors import InputError
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site


@dataclass(frozen=True)
class NetworkFacts:
    """`Facts` of a network. `prompts` are the experiment's inputs by name."""

    network: Network
    prompts: Mapping[str, Prompts]

    def sites(self, name: str) -> list[Site]:
        """The site of that name, or of every layer that has it when the name has no layer."""
        return self.network.sites_named(name)

    def tokens(self, input_name: str) -> list[list[str]] | None:
        """The tokens of each example of an input, as text; None if it has none, as pixels do."""
        prompts = self.prompts[input_name]
        if self.lengths(input_name) is None:
            return None
        return [prompts.strings(self.network.tokenizer, row) for row in range(len(prompts))]

    def lengths(self, input_name: str) -> tuple[int, ...] | None:
        """The number of tokens of each example; None if it has none, or an encoder's and a decoder's of their own."""
        return self.prompts[input_name].positions

    def padded(self, input_name: str) -> list[frozenset[int]] | None:
        """The positions of each example of an input that its mask calls padding; None if it has none."""
        return self.prompts[input_name].padded if self.lengths(input_name) is not None else None

    def split(self, text: str) -> list[str]:
        """The tokens of an answer, as text."""
        tokenizer = self.network.tokenizer
        if tokenizer is None:
            raise InputError(f"this model has no tokenizer, so the answer {text!r} must be given as a token id.")
        return [str(tokenizer.decode([i])) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]

    @property
    def vocabulary(self) -> int | None:
        """How many token ids there are, if known."""
        return self.network.vocabulary
