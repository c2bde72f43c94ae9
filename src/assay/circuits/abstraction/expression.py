"""A small language for the functions of a causal model: Python's own syntax for expressions, and little of it.

    left == right        (a + b) % 10        "yes" if n > 2 else "no"        capital[country]        word[0] + "."

Constants, names, comparison (chains too, `in`), `and` / `or` / `not`, `+ - * / // %`, conditionals, tuples, indexing of
texts, tuples and tables, and the functions `abs len max min`. Text is parsed with `ast` and walked by the code below;
nothing of it is ever run as code. There are no attributes, calls of other functions, comprehensions or powers, and numbers
and texts have a size that they can't exceed, so an expression from a file can do no harm and takes no time.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.core.errors import DataError, nearest

Value = bool | int | float | str | tuple[Any, ...]
"""What a variable can be."""
LONGEST, LARGEST = 2000, 2**53
DEEPEST = 50

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARE: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "len": len, "max": max, "min": min}


@dataclass(frozen=True)
class Expression:
    """A parsed expression. `names` are the variables and tables that it mentions, in order."""

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Read an expression.

        Raises:
            DataError: it is not one, or uses what this language lacks.
        """
        if len(text) > LONGEST:
            raise DataError(f"an expression of {len(text)} characters: expected at most {LONGEST}.")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            why = error.msg if isinstance(error, SyntaxError) else str(error)
            raise DataError(f"{text!r} is not an expression: {why}.") from None
        _check(tree, text, 0)
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called]
        used.sort(key=lambda node: (node.lineno, node.col_offset))
        return cls(text, tree, tuple(dict.fromkeys(node.id for node in used)))

    def value(self, known: Mapping[str, Any]) -> Value:
        """What it is worth when its names have these values.

        Raises:
            DataError: types that don't fit, an index that is not there, a number or text that grows too large.
        """
        try:
            return _checked(_walk(self.tree, known))
        except (TypeError, ValueError, ZeroDivisionError, IndexError, KeyError, OverflowError) as error:
            given = ", ".join(f"{name} = {known[name]!r}" for name in self.names if not isinstance(known[name], dict))
            why = f"there is no entry {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{self.text!r} has no value for {given or 'these constants'}: {why}.") from None


def _check(node: ast.AST, text: str, depth: int) -> None:
    """Refuse what the language lacks, and expressions too deep to walk."""
    if depth > DEEPEST:
        raise DataError(f"{text[:60]!r}… is nested more than {DEEPEST} deep: part it into several variables.")
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            _checked(node.value)
        case ast.Name():
            pass
        case ast.UnaryOp(op=op, operand=inner) if type(op) in _UNARY:
            _check(inner, text, depth + 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check_all([left, right], text, depth)
        case ast.BoolOp(values=values) | ast.Tuple(elts=values):
            _check_all(values, text, depth)
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(type(op) in _COMPARE for op in ops):
            _check_all([left, *rest], text, depth)
        case ast.IfExp(test=test, body=yes, orelse=no):
            _check_all([test, yes, no], text, depth)
        case ast.Subscript(value=whole, slice=index) if not isinstance(index, ast.Slice):
            _check_all([whole, index], text, depth)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in FUNCTIONS:
                known = ", ".join(FUNCTIONS)
                raise DataError(f"{text!r}: there is no function {name!r}, only {known}.{nearest(name, FUNCTIONS)}")
            _check_all(args, text, depth)
        case _:
            raise DataError(
                f"{text!r}: {ast.unparse(node)!r} ({type(node).__name__}) is not part of this language: expected constants, "
                "names, comparisons, and / or / not, + - * / // %, 'a if b else c', tuples and indexing."
            )


def _check_all(nodes: list[ast.expr], text: str, depth: int) -> None:
    for node in nodes:
        _check(node, text, depth + 1)


def _walk(node: ast.AST, known: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return known[name]
        case ast.UnaryOp(op=op, operand=inner):
            return _UNARY[type(op)](_walk(inner, known))
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _walk(left, known), _walk(right, known))
        case ast.BoolOp(op=op, values=values):
            return _boolean(isinstance(op, ast.And), values, known)
        case ast.Tuple(elts=values):
            return tuple(_walk(each, known) for each in values)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            return _compare(_walk(left, known), list(zip(ops, rest, strict=True)), known)
        case ast.IfExp(test=test, body=yes, orelse=no):
            return _walk(yes if _walk(test, known) else no, known)
        case ast.Subscript(value=whole, slice=index):
            return _entry(_walk(whole, known), _walk(index, known))
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name](*(_walk(each, known) for each in args))
    raise TypeError(f"{type(node).__name__} can't be evaluated")  # `_check` lets nothing else pass


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    texts = [isinstance(each, str | tuple) for each in (left, right)]
    if any(texts) and not (isinstance(op, ast.Add) and type(left) is type(right)):
        raise TypeError(f"{type(left).__name__} and {type(right).__name__} can't be combined this way")
    return _checked(_BINARY[type(op)](left, right))


def _boolean(every: bool, values: list[ast.expr], known: Mapping[str, Any]) -> Any:
    found: Any = every
    for each in values:
        found = _walk(each, known)
        if bool(found) is not every:
            return found
    return found


def _compare(left: Any, rest: list[tuple[ast.cmpop, ast.expr]], known: Mapping[str, Any]) -> bool:
    for op, node in rest:
        right = _walk(node, known)
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True


def _entry(whole: Any, index: Any) -> Any:
    if not isinstance(whole, str | tuple | dict):
        raise TypeError(f"a {type(whole).__name__} has no entries")
    return whole[index]


def _checked(value: Any) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and not abs(value) <= LARGEST:
        raise DataError(f"the number {str(value)[:30]} is larger than {LARGEST}, or not a number.")
    if isinstance(value, str | tuple) and len(value) > LONGEST:
        raise DataError(f"a text or tuple of {len(value)} entries: expected at most {LONGEST}.")
    if not isinstance(value, int | float | str | tuple):
        raise DataError(f"a {type(value).__name__} is not a value: expected a truth value, number, text or tuple.")
    return value
