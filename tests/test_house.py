"""The house rules that can be checked by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "assay"
FILES = sorted(path for path in SRC.rglob("*.py") if "static" not in path.parts)
NAMES = {str(path.relative_to(SRC)): path for path in FILES}
METHODS = ("readouts", "circuits", "directions", "dictionaries", "training", "behavior")
HOOKS = {
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_full_backward_pre_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
}

every_file = pytest.mark.parametrize("name", NAMES)


def tree(name: str) -> ast.Module:
    return ast.parse(NAMES[name].read_text(encoding="utf-8"))


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (each for each in ast.walk(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def called(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            yield ast.unparse(each.func), each


@every_file
def test_files_are_short(name: str) -> None:
    lines = NAMES[name].read_text(encoding="utf-8").count("\n")
    assert lines <= 300, f"{name} has {lines} lines: find the two ideas in it and part them"


@every_file
def test_functions_are_short(name: str) -> None:
    long = [f"{f.name} ({f.end_lineno - f.lineno + 1})" for f in functions(tree(name)) if f.end_lineno - f.lineno >= 60]
    assert not long, f"{name}: longer than 60 lines: {', '.join(long)}"


@every_file
def test_names_say_something(name: str) -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert not empty & set(Path(name).with_suffix("").parts)


@every_file
def test_modules_and_public_functions_say_what_they_are(name: str) -> None:
    module = tree(name)
    assert ast.get_docstring(module), f"{name} has no docstring"
    public = [n for n in module.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    missing = [
        n.name for n in public if not ast.get_docstring(n) and "overload" not in map(ast.unparse, n.decorator_list)
    ]
    assert not missing, f"{name}: no docstring: {', '.join(missing)}"


@every_file
def test_public_functions_take_few_arguments_by_position(name: str) -> None:
    """Three by position at most, the rest are said by name. The inside of models and engine counts for itself, and the
    arguments of a command are read by typer, which needs no order."""
    if Path(name).parts[0] in ("models", "engine") or Path(name).parts[:2] == ("app", "commands"):
        return
    for function in tree(name).body:
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            positional = [*function.args.posonlyargs, *function.args.args]
            assert len(positional) <= 3, f"{name}: {function.name} has {len(positional)} positional arguments"


@every_file
def test_no_catch_all(name: str) -> None:
    if Path(name).parts[0] == "app":
        return
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else ""
            if any(isinstance(last, ast.Raise) and last.exc is None for last in node.body[-1:]):
                continue  # tidies up, and lets it pass on
            assert caught not in ("", "Exception", "BaseException"), f"{name}:{node.lineno} catches everything"


@every_file
def test_nothing_is_unpickled(name: str) -> None:
    module = tree(name)
    imported = {
        alias.name.partition(".")[0] for n in ast.walk(module) if isinstance(n, ast.Import) for alias in n.names
    }
    imported |= {(n.module or "").partition(".")[0] for n in ast.walk(module) if isinstance(n, ast.ImportFrom)}
    assert not imported & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for call, node in called(module):
        if call == "torch.load":
            safe = [k for k in node.keywords if k.arg == "weights_only"]
            assert safe and ast.unparse(safe[0].value) == "True", (
                f"{name}:{node.lineno} torch.load without weights_only=True"
            )
        assert call not in ("eval", "exec"), f"{name}:{node.lineno} runs text as code"
        if call in ("np.load", "numpy.load"):
            assert not [k for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]


@every_file
def test_only_the_engine_hooks(name: str) -> None:
    parts = Path(name).parts
    if parts[0] == "engine" or (parts[0] == "models" and parts[-1].startswith(("evidence", "trace"))):
        return
    used = [f"line {n.lineno}" for n in ast.walk(tree(name)) if isinstance(n, ast.Attribute) and n.attr in HOOKS]
    assert not used, f"{name} registers a hook: {', '.join(used)}"


@pytest.mark.parametrize("name", [n for n in NAMES if Path(n).parts[0] in ("studies", "app")])
def test_the_outside_knows_methods_only_by_name(name: str) -> None:
    modules = [n.module or "" for n in ast.walk(tree(name)) if isinstance(n, ast.ImportFrom)]
    modules += [alias.name for n in ast.walk(tree(name)) if isinstance(n, ast.Import) for alias in n.names]
    direct = [m for m in modules if m.startswith(tuple(f"assay.{folder}" for folder in METHODS))]
    assert not direct, f"{name} imports {', '.join(direct)}: look it up in core.registry instead"


def test_only_models_and_engine_know_transformers() -> None:
    knows = {
        name: node.lineno
        for name in NAMES
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(
            m.partition(".")[0] == "transformers"
            for m in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
        )
        and Path(name).parts[0] not in ("models", "engine")
    }
    assert not knows
