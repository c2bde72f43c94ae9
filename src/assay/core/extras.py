"""Optional parts: import a package that is not a core dependency, or say which extra brings it.

>>> pillow = need("PIL.Image", extra="vision", why="reading pictures")
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from assay.core.errors import MissingExtraError


def need(module: str, *, extra: str, why: str) -> ModuleType:
    """The module, imported; when it is not installed, an error that names the extra to install.

    An ImportError from inside an installed package is that package's own trouble, and passes through unchanged.
    """
    if not has(module):
        package = module.partition(".")[0]
        raise MissingExtraError(f"{why} needs '{package}', which is not installed: pip install 'assay[{extra}]'.")
    return import_module(module)


def has(module: str) -> bool:
    """Whether the module's package is installed. Its code is not run."""
    return find_spec(module.partition(".")[0]) is not None
