"""Variants of MGMP that rows compare: the paper's method, the library's, and either changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from mgmp_jax.config import EXTENDED, PAPER_WITHOUT_GENERATOR, MGMPConfig
from mgmp_jax.store import ModelSpec


@dataclasses.dataclass(frozen=True)
class Variant:
    """A variant of MGMP.

    Args:
        config: of the MGMP.
        checkpoints: whether the pool is enlarged by the checkpoints along each training.
        generators: models whose embeddings are the latents of a fixed generator, one a seed.
        generator_start: the model from whose starting weights a generator is trained.
    """

    config: MGMPConfig
    checkpoints: bool = False
    generators: tuple[ModelSpec, ...] = ()
    generator_start: ModelSpec | None = None


def variants(
    paper: MGMPConfig, generators: Sequence[ModelSpec], generator_start: ModelSpec | None = None
) -> dict[str, Variant]:
    """Makes the paper's method and the library's, each without and with generator.

    What the ``paper`` reads, logits or embeddings, all compare; ``generators`` are the library's.
    """
    more = read_as(paper)
    extended = EXTENDED.replace(**more)
    return {
        "paper, without generator": Variant(PAPER_WITHOUT_GENERATOR.replace(**more)),
        "paper": Variant(paper, generator_start=generator_start),
        "extended, background only": Variant(extended, checkpoints=True),
        "extended": Variant(extended, checkpoints=True, generators=tuple(generators)),
    }


def read_as(config: MGMPConfig) -> dict[str, Any]:
    """Gives what of another config makes it read what ``config`` reads, by as many at a time."""
    embeds = {"response": "embedding"} if config.response == "embedding" else {}
    return {"batch_size": config.batch_size, **embeds}


def changed(variant: Variant, *, times_epochs: int = 1, **changes: Any) -> Variant:
    """Changes fields of a variant or of its config, and multiplies its epochs."""
    own = {name: changes.pop(name) for name in ("checkpoints", "generators") if name in changes}
    config = variant.config.replace(**changes)
    config = config.replace(epochs=config.epochs * times_epochs)
    return dataclasses.replace(variant, config=config, **own)
