"""Frameworks: which one made a model, how to import it at first use, and why it failed."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

__all__ = ["explaining", "import_framework", "is_of"]


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


@contextlib.contextmanager
def explaining(inputs: Any) -> Iterator[None]:
    """Says what a model was given where it fails within the block.

    Args:
        inputs: an array, or arrays by name.

    Raises:
        ValueError: the model raised an exception of any class.
    """
    try:
        yield
    except Exception as error:  # each framework has classes of its own
        named = inputs if isinstance(inputs, Mapping) else {"": inputs}
        given = ", ".join(f"{key} {_describe(array)}".strip() for key, array in named.items())
        raise ValueError(
            f"the model failed on {given} ({type(error).__name__}: {str(error)[:300]}); say by "
            "pixels= or tokenize= how it reads its queries, or give a function"
        ) from error


def _describe(array: Any) -> str:
    if hasattr(array, "dtype") and hasattr(array, "shape"):
        return f"{array.dtype}{list(array.shape)}"
    return type(array).__name__
