"""The networks of the CNN papers, and what the book's chapters need to teach them.

``create_model`` and ``list_models`` are the front door; the rest lives in modules
(``cnnlib.inspection``, ``cnnlib.train``, ...), which are imported when they are first used, so that
``import cnnlib`` itself is quick.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .models import create_model, list_models

__version__ = "0.1.0"
__all__ = ["__version__", "create_model", "list_models"]

_FUNCTIONS = ("create_model", "list_models")
_MODULES = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]


def __getattr__(name: str):
    if name in _FUNCTIONS:
        return getattr(importlib.import_module("cnnlib.models"), name)
    if name in _MODULES:
        return importlib.import_module(f"cnnlib.{name}")
    raise AttributeError(f"cnnlib has no {name!r}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
