"""What an MGMP is made of, and the two settings that the library comes with."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

from mgmp_jax.arrays import check_whole
from mgmp_jax.dna import Assembly
from mgmp_jax.responses import ResponseKind

__all__ = ["EXTENDED", "PAPER", "PAPER_WITHOUT_GENERATOR", "MGMPConfig"]


@dataclasses.dataclass(frozen=True)
class MGMPConfig:
    """What MGMP is made of and how it is trained.

    Args:
        generator: of the architecture :func:`mgmp_jax.models.create` knows by that name,
            trained jointly with the classifier, as in the paper; ``None`` where there is none,
            or a fixed one, whose embedding :class:`mgmp_jax.methods.MGMP` is given.
        generator_width: of its architecture, ``None`` for its own.
        generator_vocab_size: of a generator that reads texts, ``None`` for its own.
        latent: ``|z|``; ``None`` is the width of the source's responses.
        bound_latents: bring each latent of a trained generator to the root mean square of the
            source's responses (in training, of the mini-batch's), so that it can neither drown
            them nor vanish; not in the paper.
        assemble: how latents and responses become fragments.
        background: whether, under residual assembly, the pool's non-homologous models and the
            source's siblings join the latents (:mod:`mgmp_jax.background`).
        response: which responses of all models are compared.
        align: map targets linearly into the source's coordinates first.
        context: let the classifier see, beside a pair of fragments, their product and
            :func:`mgmp_jax.dna.set_context`.
        temperature: ``tau`` of Eq. 5 and 6. Like the next four, of no effect without a generator
            that is trained: nothing else has a gradient from Eq. 7.
        similarity_weight: of Eq. 5 in the loss; the paper's is 1.
        cohesion_weight: of Eq. 6 in the loss; the paper's is 1.
        weight_decay: ``lambda`` of Eq. 7.
        reduction: of Eq. 5 and 6 over a mini-batch; ``"sum"`` is the paper's.
        classifier_width: of the classifier's hidden layers.
        dropout: rate in the classifier.
        learning_rate: of Adam, constant.
        epochs: passes over the query set.
        batch_size: queries in a mini-batch, all where there are fewer.

    Raises:
        ValueError: a number is out of its range.
    """

    generator: str | None = "resnet50"
    generator_width: int | None = None
    generator_vocab_size: int | None = None
    latent: int | None = None
    bound_latents: bool = False
    assemble: Assembly = "addition"
    background: bool = True
    response: ResponseKind = "logits"
    align: bool = False
    context: bool = False
    temperature: float = 0.5
    similarity_weight: float = 1.0
    cohesion_weight: float = 1.0
    weight_decay: float = 1e-4
    reduction: Literal["mean", "sum"] = "mean"
    classifier_width: int = 128
    dropout: float = 0.1
    learning_rate: float = 1e-3
    epochs: int = 20
    batch_size: int = 256

    def __post_init__(self) -> None:
        for name, kind in (("assemble", Assembly), ("response", ResponseKind)):
            if getattr(self, name) not in get_args(kind):
                given = getattr(self, name)
                raise ValueError(f"{name} must be one of {get_args(kind)}, got {given!r}")
        if self.reduction not in ("mean", "sum"):
            raise ValueError(f'reduction must be "mean" or "sum", got {self.reduction!r}')
        for name in ("epochs", "batch_size", "classifier_width", "latent", "generator_width"):
            value = getattr(self, name)
            if value is None and name in ("latent", "generator_width"):
                continue
            check_whole(name, value, 1)
        for name in ("learning_rate", "weight_decay", "similarity_weight", "cohesion_weight"):
            if not 0 <= float(getattr(self, name)) < math.inf:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")
        fixed = [name for name in ("align", "context") if getattr(self, name)]
        fixed += ["assemble"] * (self.assemble == "residual")
        if self.generator is not None and fixed:
            raise ValueError(
                f"{fixed[0]}={getattr(self, fixed[0])!r} needs fragments that training does not "
                f"change, but generator={self.generator!r} is trained jointly; choose "
                "generator=None"
            )
        if self.bound_latents and self.generator is None:
            raise ValueError("bound_latents=True needs a generator that is trained, got None")

    def replace(self, **changes: Any) -> MGMPConfig:
        """Copies it with some fields changed."""
        return dataclasses.replace(self, **changes)


PAPER = MGMPConfig(response="log-probabilities", learning_rate=1e-2)
"""The paper's method, Eq. 4 to 8, but for the mean instead of the sum in Eq. 5 and 6. The paper
states no hyper-parameters: these were the best of what ``experiments/crossvalidate.py`` compared
on the pool tasks of Table 1's row 1 (``docs/results/crossvalidation.md``)."""

PAPER_WITHOUT_GENERATOR = MGMPConfig(generator=None, learning_rate=1e-2, epochs=400)
"""The same without generator, whose fragments are the responses alone, chosen with equal care."""

EXTENDED = MGMPConfig(
    generator=None,
    assemble="residual",
    align=True,
    context=True,
    classifier_width=32,
    epochs=100,
)
"""The library's default: what the background leaves of the responses, aligned, with set context.

Chosen by leaving out one task at a time of row 1's five (``docs/results/crossvalidation.md``).
"""
