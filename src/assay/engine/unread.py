"""Inputs that a model would take and not read: refused, since a misspelt name is otherwise lost without a word."""

from __future__ import annotations

from assay.core.errors import InputError, nearest
from assay.models.network import Network
from assay.models.prompts import Prompts


def refuse_unread(network: Network, name: str, prompts: Prompts) -> None:
    """Raise InputError for an input of the model's own whose name no code of the model reads, or tokens that none reads."""
    given = ["input_ids"] if prompts.tensors is None else list(prompts.tensors)
    lost = [each for each in given if each not in network.arguments]
    if not lost:
        return
    own = [each for each in network.own_arguments if each not in ("self", "return_dict")]
    model = type(network.native).__name__
    if prompts.tensors is None:
        raise InputError(
            f"{model} reads no token ids: give the input {name!r} as a dict of its own inputs, which are {', '.join(own)}."
        )
    raise InputError(
        f"the input {name!r} has {', '.join(map(repr, lost))}, which {model} does not read: its inputs are {', '.join(own)}."
        f"{nearest(lost[0], own)}"
    )
