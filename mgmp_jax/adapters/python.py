"""Python functions of a batch of raw queries: whatever can be called can be asked."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mgmp_jax.adapters.batches import record

__all__ = ["open_model", "open_of", "reads", "record"]


def reads(model: Any) -> bool:
    """Says whether a model is a function, or another callable that no other adapter reads."""
    return callable(model)


def open_model(target: str) -> Any:
    """Runs ``FILE.py`` and calls its function ``NAME``, which gives the model.

    Args:
        target: ``FILE.py:NAME``, for example ``my_models.py:load_flowers``. **The file is run.**

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the target is of another form, the file has no such name, or its code raises
            something or ends the program.
    """
    path, _, name = target.rpartition(":")
    if not path.endswith(".py") or not name:
        raise ValueError(f"expected FILE.py:NAME, got {target!r}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    folder = str(Path(path).resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as for a script, which imports what lies beside it
    known_as = f"mgmp_model_{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(known_as, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[known_as] = module
    with _saying(f"{path} cannot be run"):
        spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise ValueError(
            f"{path} has no function {name!r}; write one without arguments that gives the model"
        )
    function = getattr(module, name)
    needed = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if needed:
        raise ValueError(
            f"{name} in {path} needs {', '.join(needed)}; write a function without arguments that "
            "gives the model"
        )
    with _saying(f"{name} in {path} gave no model"):
        return function()


@contextlib.contextmanager
def _saying(what: str) -> Iterator[None]:
    """Lets what an owner's own code raises, or its end of the program, say where it comes from."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"{what}: {type(error).__name__}: {error}") from error


def open_of(target: str, reads: Callable[[Any], bool], expected: str) -> Any:
    """Opens a model as :func:`open_model` does, and checks what kind of model it is.

    Args:
        target: ``FILE.py:NAME``. **The file is run.**
        reads: says whether a model is of that kind.
        expected: what that is, in words.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the target is of another form, or the function gives another kind of model.
    """
    model = open_model(target)
    if not reads(model):
        raise ValueError(
            f"{target.rpartition(':')[2]} in {target.rpartition(':')[0]} gave a "
            f"{type(model).__module__}.{type(model).__qualname__}; expected {expected}"
        )
    return model
