"""The registry of methods: what studies, the command line and the server know about a method.

A method is one pure, typed function in one file:

    @method(gives=Scores, cites="arXiv:2211.00593", cost="one forward pass per head",
            assumes="prompts aligned token by token", fails_when="another head takes over what the patched one did")
    def patch_heads(model: Model, pairs: Pairs, *, direction: Annotated[Direction, "which way to patch"]) -> Scores: ...

Its first two parameters are the model and the data. Each keyword-only parameter is either a *setting* (it becomes a
field of a pydantic model made from the signature: validated, hashed, shown in forms) or an *earlier result* (its class
says `handed_on = True`, as `Scores` does). What the decorator returns does what the function does; the results remember
their call (`core.calls`), so that `.against("random", "untrained")` can make it again.

Packages, assay's own included, announce the modules that hold methods through the entry-point group `assay.methods`.
Listing methods imports those modules; it runs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from assay.core.calls import remembering
from assay.core.choices import Expected
from assay.core.claims import Claim, Claimed, Unclaimed, as_claim
from assay.core.errors import SettingsError, nearest

F = TypeVar("F", bound=Callable[..., Any])

ENTRY_POINT_GROUP = "assay.methods"
_REGISTRY: dict[str, Method] = {}
_LOADED: set[str] = set()


@dataclass(frozen=True)
class Card:
    """A method's validity card: what it gives, where it comes from, when to trust it and when not."""

    gives: type
    cites: tuple[str, ...]
    cost: str
    assumes: str
    fails_when: str
    intervenes: bool = False
    """Whether it changes the network and measures what follows: only then do its numbers speak of causes."""
    claim: str | None = None
    """What kind of claim its results make, which says what controls they need; None: what it gives says it."""
    unclaimed: str = ""
    """Why its results need no controls, if they make no claim."""


@dataclass(frozen=True)
class Method:
    """A registered method: the function, its settings model, the earlier results that it takes, its card."""

    name: str
    function: Callable[..., Any]
    settings: type[BaseModel]
    takes: Mapping[str, type]
    card: Card
    summary: str

    def validated(self, settings: Mapping[str, Any]) -> BaseModel:
        """The settings as a model, defaults filled in.

        Raises:
            SettingsError: a setting is unknown, missing, or of the wrong kind.
        """
        try:
            return self.settings.model_validate(dict(settings))
        except ValidationError as error:
            raise SettingsError(self._explain(error)) from None

    def run(self, model: Any, data: Any, settings: Mapping[str, Any] | BaseModel, **earlier: Any) -> Any:
        """Call the function with validated settings and the earlier results that it takes."""
        missing = sorted(set(self.takes) - set(earlier))
        if missing:
            raise SettingsError(f"{self.name} needs earlier results that were not given: {', '.join(missing)}.")
        chosen = settings if isinstance(settings, BaseModel) else self.validated(settings)
        values = {field: getattr(chosen, field) for field in type(chosen).model_fields}
        return self.function(model, data, **values, **earlier)

    def _explain(self, error: ValidationError) -> str:
        lines = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                known = [*self.settings.model_fields, *self.takes]
                lines.append(f"'{field}' is not a setting; it has {', '.join(known) or 'none'}.{nearest(field, known)}")
            else:
                lines.append(f"'{field}': {problem['msg']} (got {problem['input']!r})")
        return f"Settings of {self.name}: " + "; ".join(lines)


def method(
    *,
    gives: type,
    cites: str | tuple[str, ...],
    cost: str,
    assumes: str,
    fails_when: str,
    intervenes: bool = False,
    claim: str | Claimed | None = None,
) -> Callable[[F], F]:
    """Register a function as a method. What it does is not changed; its results remember their call.

    `intervenes` says that it changes the network and measures what follows, so that claims of causes may rest on it.
    `claim` says what its results claim, or why they claim nothing (`core.claims`).
    """
    sources = (cites,) if isinstance(cites, str) else tuple(cites)
    claimed = as_claim(claim)
    kind = claimed.kind if isinstance(claimed, Claim) else None
    why = claimed.why if isinstance(claimed, Unclaimed) else ""
    card = Card(gives, sources, cost, assumes, fails_when, intervenes, kind, why)

    def register(plain: F) -> F:
        function = remembering(plain, claim=claimed, expected=Expected.of(plain))
        described = _describe(function, card)
        before = _REGISTRY.get(described.name)
        if before is not None and before.function.__module__ != function.__module__:
            raise TypeError(
                f"two methods are called {described.name!r}: in {before.function.__module__} and {function.__module__}"
            )
        _REGISTRY[described.name] = described
        return function

    return register


def methods() -> dict[str, Method]:
    """Every method by name: assay's own and those of installed packages."""
    _load_entry_points()
    return dict(sorted(_REGISTRY.items()))


def find(name: str) -> Method:
    """The method of that name.

    Raises:
        SettingsError: there is none; the message shows the nearest names.
    """
    if name in _REGISTRY:  # looking through all installed packages takes tens of milliseconds
        return _REGISTRY[name]
    known = methods()
    if name not in known:
        near = nearest(name, known) or f" There are: {', '.join(known) or 'none'}."
        raise SettingsError(f"There is no method {name!r}.{near}")
    return known[name]


def _load_entry_points() -> None:
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.value not in _LOADED:
            point.load()
            _LOADED.add(point.value)


def _describe(function: Callable[..., Any], card: Card) -> Method:
    name = function.__name__
    summary = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    if not summary:
        raise TypeError(f"method {name!r} has no docstring")
    keyword_only = _keyword_only(function)
    hints = get_type_hints(function, include_extras=True)
    takes = {parameter: _plain(hints[parameter]) for parameter in keyword_only if is_handed_on(hints[parameter])}
    fields = {
        parameter.name: _field(name, parameter, hints[parameter.name])
        for parameter in keyword_only.values()
        if parameter.name not in takes
    }
    config = ConfigDict(frozen=True, extra="forbid")
    settings: type[BaseModel] = create_model(f"{name}_settings", __config__=config, **fields)
    return Method(name, function, settings, takes, card, summary)


def _keyword_only(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    keyword_only = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if len(positional) != 2 or len(positional) + len(keyword_only) != len(parameters):
        raise TypeError(f"method {function.__name__!r} must take (model, data, *, settings...), all of them named")
    return {parameter.name: parameter for parameter in keyword_only}


def _field(owner: str, parameter: inspect.Parameter, hint: Any) -> Any:
    """The pydantic field of one setting. A plain string in `Annotated[type, "…"]` is its description."""
    extra = list(get_args(hint)[1:]) if get_origin(hint) is Annotated else []
    description = next((item for item in extra if isinstance(item, str)), None)
    if description is None:
        raise TypeError(f'setting {parameter.name!r} of {owner!r} has no description: use Annotated[type, "…"]')
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    return (hint, Field(default=default, description=description))


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def is_handed_on(hint: Any) -> bool:
    """Whether a parameter of this type is an earlier result, not a setting: its class says `handed_on = True`."""
    return getattr(_plain(hint), "handed_on", False) is True


def keeps_files(value: Any) -> bool:
    """Whether an earlier result, or its class, is kept as files beside its numbers: it says `files = True`.

    It then has `save(path)` and `load(path)`. Others are read back from their numbers: `to_dataset` and `from_dataset`.
    """
    return getattr(value, "files", False) is True
