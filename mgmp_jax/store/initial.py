"""The weights that a model of the store starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgmp_jax import models
from mgmp_jax.models.pretrained import digest_pretrained, load_pretrained
from mgmp_jax.queries import Modality
from mgmp_jax.store.spec import ModelSpec

__all__ = [
    "IMAGE",
    "abstract_variables",
    "descended_variables",
    "fresh_variables",
    "pretrained_variables",
    "reads",
]

IMAGE = (32, 32, 3)
"""Shape of the images that models of the store read."""


def reads(module: Any) -> Modality:
    """Says what queries a module reads."""
    return "texts" if isinstance(module, models.Transformer) else "images"


def abstract_variables(module: Any) -> dict[str, Any]:
    """Gives the structure, shapes and dtypes of a module's parameters and batch statistics."""
    return models.abstract_variables(module, _example(module))


def fresh_variables(module: Any, seed: int) -> dict[str, Any]:
    """Draws random parameters, and batch statistics to begin with."""
    return models.initial_variables(module, jax.random.key(seed), _example(module))


def descended_variables(
    module: Any, spec: ModelSpec, start: ModelSpec, trained: dict[str, Any]
) -> dict[str, Any]:
    """Gives the weights of a trained model, with its last layer or one initialised anew.

    Args:
        module: of the model that starts.
        spec: of the model that starts.
        start: of the model that it starts from.
        trained: parameters and batch statistics of that model.

    Raises:
        ValueError: the last layer is to be kept and has another width.
    """
    trained = jax.tree.map(jnp.asarray, trained)
    head, fresh = module.layers[0], fresh_variables(module, spec.seed)
    if spec.head == "reinit":
        return {**trained, "params": {**trained["params"], head: fresh["params"][head]}}
    shapes = [jax.tree.map(jnp.shape, v["params"][head]) for v in (trained, fresh)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{spec.address} cannot keep the head of {start.address}: it has {shapes[0]} and "
            f'{shapes[1]} is needed; choose head="reinit"'
        )
    return trained


def pretrained_variables(module: Any, spec: ModelSpec, folder: str | Path | None) -> dict[str, Any]:
    """Reads the weights of a checkpoint, with a last layer initialised anew.

    Args:
        module: of the model that starts.
        spec: of the model that starts.
        folder: of the checkpoint.

    Raises:
        ValueError: it is another checkpoint than the spec's, or of another architecture.
    """
    if folder is None or digest_pretrained(folder) != spec.pretrained:
        raise ValueError(
            f"{spec.address} starts from the checkpoint {spec.pretrained}, but the store was given "
            f"{folder}; give the folder of that checkpoint"
        )
    found, variables = load_pretrained(
        folder,
        num_outputs=module.num_outputs,
        head="reinit",
        vocab_size=None if spec.tokens is None else spec.tokens.vocab_size,
        seed=spec.seed,
    )
    given, wanted = found.sizes, module.sizes
    differences = [f"{k} is {given[k]}, not {wanted[k]}" for k in given if given[k] != wanted[k]]
    if differences:
        raise ValueError(
            f"the checkpoint in {folder} is no {spec.arch} for this vocabulary: its "
            f"{'; its '.join(differences)}. Choose the architecture of the checkpoint, and its own "
            "tokenizer"
        )
    return variables


def _example(module: Any) -> np.ndarray:
    """The least input that a module can be initialised with."""
    if reads(module) == "texts":
        return np.zeros((1, 1), np.int32)
    return np.zeros((1, *IMAGE), np.float32)
