"""PyTorch modules, asked in evaluation mode and left as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches, python
from mgmp_jax.adapters.frameworks import explaining, import_framework, is_of
from mgmp_jax.adapters.pixels import Pixels, Reader, prepare
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]

_PIXELS = Pixels()


def reads(model: Any) -> bool:
    """Says whether a model is a PyTorch module."""
    return is_of(model, "torch", "Module")


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    progress: batches.Progress | None = None,
    pixels: Reader = _PIXELS,
    tokenize: Reader | None = None,
) -> Answers:
    """Records what a PyTorch module answers, without gradients, on the device it lies on.

    It is asked in evaluation mode, and each of its modules is left in the mode it was in (what
    ``torch.export`` gave stays in the mode in which it was exported). Inputs take the dtype of its
    parameters; token ids are int64. Its answer is a tensor, the first of a tuple or list, or
    ``logits`` of an object or dictionary.

    Args:
        model: an ``nn.Module``.
        queries: one query set, or several by name.
        kind: what its numbers are.
        name: of the model.
        batch_size: how many queries are asked at once.
        progress: told how many queries are answered, and of how many.
        pixels: how uint8 images ``[b, h, w, 3]`` are fed to it: by default as float32
            ``[b, 3, h, w]`` from 0 to 1.
        tokenize: a function of a list of strings; arrays by name become keyword arguments.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        ValueError: the answers are no numbers, or not one row a query.
        ImportError: PyTorch is not installed.
    """
    torch = import_framework("torch", "'mgmp_jax[torch]'")
    some = next((p for p in (*model.parameters(), *model.buffers()) if p.is_floating_point()), None)

    def to_tensor(values: Any) -> Any:
        tensor = torch.as_tensor(values)
        if some is None:
            return tensor
        return tensor.to(some.device, some.dtype if tensor.is_floating_point() else None)

    def ask(batch: Any) -> np.ndarray:
        inputs = prepare(batch, pixels, tokenize)
        with explaining(inputs):
            if isinstance(inputs, Mapping):
                given = model(**{key: to_tensor(values) for key, values in inputs.items()})
            else:
                given = model(to_tensor(inputs))
        return _answer(given, torch)

    with _evaluating(model), torch.no_grad():
        return batches.record(
            ask, queries, kind=kind, name=name, batch_size=batch_size, progress=progress
        )


def open_model(target: str) -> Any:
    """Runs ``FILE.py`` and calls its function ``NAME``, which gives the module.

    Weights are read by the owner's own code; no file of tensors is ever unpickled here.

    Args:
        target: ``FILE.py:NAME``, for example ``my_models.py:load_flowers``. **The file is run.**

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the target is of another form, or the function gives no module.
        ImportError: PyTorch is not installed.
    """
    import_framework("torch", "'mgmp_jax[torch]'")
    return python.open_of(target, reads, "a torch.nn.Module")


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    with contextlib.suppress(NotImplementedError):  # exported modules know no modes
        model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            if module.training != training:
                module.training = training


def _answer(given: Any, torch: Any) -> np.ndarray:
    found: Any = given["logits"] if isinstance(given, dict) and "logits" in given else given
    found = getattr(found, "logits", found)
    first: Any = found[0] if isinstance(found, list | tuple) and len(found) else found
    if not torch.is_tensor(first):
        raise ValueError(
            "the module must give a tensor, a tuple or list whose first is one, or an object "
            f"with .logits; got {type(given).__name__}"
        )
    first = first.detach().cpu()
    return (first.float() if first.dtype == torch.bfloat16 else first).numpy()
