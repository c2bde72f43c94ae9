"""One pass of the model over an input: with which edits, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from assay.core.errors import ExperimentError
from assay.experiments.captures import AnyCapture, GradCapture
from assay.experiments.edit import AnyEdit
from assay.experiments.edits import Edit
from assay.experiments.record import Record


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class Run(Record):
    """A named pass of the model. Its edits apply in the order given, wherever two of them meet at one site."""

    input: str
    """The name of the input that it reads."""
    edits: Annotated[tuple[AnyEdit, ...], BeforeValidator(_as_tuple)] = ()
    """What is changed."""
    captures: Annotated[tuple[AnyCapture, ...], BeforeValidator(_as_tuple)] = ()
    """What is kept."""

    @property
    def gradients(self) -> tuple[GradCapture, ...]:
        """The captures that are gradients."""
        return tuple(capture for capture in self.captures if isinstance(capture, GradCapture))

    @property
    def needs(self) -> tuple[str, ...]:
        """The other runs or inputs whose values it needs, in order of mention."""
        names = [edit.source_run for edit in self.edits]
        names += [capture.of.other_run for capture in self.gradients]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @property
    def local_only(self) -> bool:
        """True if an edit or a captured gradient's metric holds a Python function."""
        return any(part.local_only for part in (*self.edits, *(capture.of for capture in self.gradients)))

    def with_edits(self, edits: tuple[Edit, ...]) -> Run:
        """The same run with other edits."""
        return self.model_copy(update={"edits": edits})

    @model_validator(mode="after")
    def _labels_differ(self) -> Run:
        labels = [capture.label for capture in self.captures]
        for label in labels:
            if labels.count(label) > 1:
                raise ExperimentError(f"two captures are called {label!r}: give one of them another `name=`.")
        return self
