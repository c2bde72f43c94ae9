"""An einsum of two operands seen as a matrix product, as attention written by hand often has it.

`bqhd,bkhd->bhqk` is the product of [b, h, q, d] and [b, h, d, k]; `bhqk,bkhd->bqhd` that of [b, h, q, k] and
[b, h, k, d]. Anything that is no such product (a sum over two axes, an ellipsis, three operands) is None.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def as_product(args: tuple[Any, ...], out: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Left [..., m, n], right [..., n, p] and result [..., m, p] of an einsum's arguments and output."""
    equation, *rest = args
    operands = rest[0] if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
    if not isinstance(equation, str) or len(operands) != 2 or "." in equation or "->" not in equation:
        return None
    terms, result = equation.replace(" ", "").split("->")
    left, right = terms.split(",")
    shared = [letter for letter in result if letter in left and letter in right]
    summed = [letter for letter in left if letter in right and letter not in result]
    own = [letter for letter in result if letter not in shared]
    if len(summed) != 1 or len(own) != 2 or len(left) != len(right) or len(left) != len(shared) + 2:
        return None
    first, second = operands
    if own[0] in right:
        left, right, first, second = right, left, second, first
    if own[0] not in left or own[1] not in right:
        return None
    return (
        _arranged(first, left, [*shared, own[0], *summed]),
        _arranged(second, right, [*shared, *summed, own[1]]),
        _arranged(out, result, [*shared, *own]),
    )


def _arranged(tensor: Tensor, letters: str, order: list[str]) -> Tensor:
    return tensor.permute([letters.index(letter) for letter in order])
