"""Frameworks: which one made a model, and how to import it at first use."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

__all__ = ["import_framework", "is_of"]


def is_of(model: Any, library: str, name: str) -> bool:
    """Says whether a class of the model's is called ``name`` and comes from ``library``.

    Args:
        model: anything.
        library: the top-level package, which need not be installed.
        name: of the class or of one that it descends from.
    """
    return any(
        cls.__name__ == name and cls.__module__.partition(".")[0] == library
        for cls in type(model).__mro__
    )


def import_framework(module: str, install: str) -> ModuleType:
    """Imports a module that not everybody has.

    Args:
        module: for example ``"onnxruntime"``.
        install: what to give to ``pip install``.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"this needs {module.partition('.')[0]}: pip install {install}"
        ) from error
