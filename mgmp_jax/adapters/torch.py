"""PyTorch modules."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.frameworks import import_framework, is_of
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.adapters.python import open_model
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]


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
    pixels: Pixels = Pixels(),
) -> Answers:
    """Records what a PyTorch module answers, in evaluation mode and without gradients.

    Args:
        model: a ``torch.nn.Module`` of float images ``[b, 3, h, w]`` or float rows ``[b, f]``, on
            any device. It gives a tensor, something whose first is one, or an object with
            ``logits``. It is left in the mode in which it was.
        queries: images or rows. For texts give a function that tokenises them.
        kind: what the numbers are.
        name: of the model.
        batch_size: how many queries are asked at once.
        pixels: what the module reads; channels always come first.

    Raises:
        ValueError: the queries are texts, or the answers are no tensor, one row a query.
        ImportError: PyTorch is not installed.
    """
    torch = import_framework("torch", "torch")
    pixels = dataclasses.replace(pixels, channels_first=True)
    some = next(iter(model.parameters()), torch.zeros(()))

    def answer(inputs: Any) -> np.ndarray:
        if isinstance(inputs, list):
            raise ValueError(
                "a PyTorch module reads no texts; give a function of a list of texts that "
                "tokenises them and calls the module, or a Hugging Face folder"
            )
        x = torch.from_numpy(pixels(inputs) if inputs.ndim == 4 else np.array(inputs))
        x = x.to(some.device, some.dtype if some.is_floating_point() else torch.float32)
        return _tensor(model(x)).detach().float().cpu().numpy()

    was_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            return batches.record(answer, queries, kind=kind, name=name, batch_size=batch_size)
    finally:
        for module in was_training:
            module.training = True


def _tensor(output: Any) -> Any:
    found = getattr(output, "logits", output)
    found = found[0] if isinstance(found, tuple | list) and found else found
    if not is_of(found, "torch", "Tensor"):
        raise ValueError(
            f"the module gave a {type(output).__name__}; expected a tensor [b, d], something whose "
            "first is one, or an object with logits"
        )
    return found
