"""The base of everything that an experiment is made of: frozen, closed, and refusing bad values in one clear line."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from assay.core.errors import AssayError, ExperimentError, nearest


class Record(BaseModel):
    """A frozen piece of an experiment, without unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="wrap")
    @classmethod
    def _one_line(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise ExperimentError(f"{_label(cls, value)}: {explain(error, cls)}") from None
        except AssayError as error:
            if _says_where(value, str(error)):
                raise
            raise type(error)(f"{_label(cls, value)}: {error}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """All problems that pydantic found, in words, joined into one line."""
    return "; ".join(_problem(details, model) for details in error.errors(include_url=False))


def _label(cls: type[BaseModel], value: Any) -> str:
    op = cls.model_fields["op"].default if "op" in cls.model_fields else None
    site = value.get("site") if isinstance(value, dict) else None
    name = f"{op}" if op else cls.__name__
    return f"{name} at {site!r}" if isinstance(site, str) else name


def _says_where(value: Any, message: str) -> bool:
    """Whether a problem found inside a part names the part's site already, or there is none to name."""
    site = value.get("site") if isinstance(value, dict) else None
    return not isinstance(site, str) or repr(site) in message


def _problem(details: ErrorDetails, model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in details["loc"])
    if details["type"] == "missing":
        return f"{place!r} must be given"
    if details["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"{place!r} is not one of its fields ({known}).{nearest(place, model.model_fields)}"
    if details["type"] == "union_tag_invalid":
        tag, tags = details["ctx"]["tag"], details["ctx"]["expected_tags"]
        near = nearest(tag, [each.strip().strip("'") for each in tags.split(",")])
        return f"{tag!r} is not known here: expected one of {tags}.{near}"
    got = repr(details["input"])
    return f"{place}: {details['msg'].lower()}, got {got if len(got) <= 80 else got[:79] + '…'}".lstrip(": ")
