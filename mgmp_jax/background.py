"""The background: what models answer that never saw the source, and what is left without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from mgmp_jax.linear import FOLDS, PENALTY, check_width, folds_of, standardise_exactly
from mgmp_jax.references import OneQuerySet
from mgmp_jax.responses import Responses

__all__ = ["Background", "residual_fragments"]


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """What unrelated models share, and what is therefore taken out of all responses.

    Args:
        common: what is taken out for everybody, each ``[n, any]``: the embedding of a fixed
            generator, and the responses of the source's siblings.
        of_tasks: for each task of the pool the responses of its non-homologous model.
    """

    common: tuple[np.ndarray, ...]
    of_tasks: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, references: OneQuerySet, generator: Responses | None = None) -> Background:
        """Collects the background of a reference set, with the siblings where there are some.

        Of each task the last non-homologous model stands for all its checkpoints.

        Args:
            references: the answers to the query set.
            generator: the embedding of a fixed generator on the same queries.

        Raises:
            ValueError: the generator answered other queries, or there is one task only and
                nothing else, so that nothing is left for its own pair.
        """
        common = [model.values for model in references.siblings]
        if generator is not None:
            references.source.check_same_queries(generator)
            common.insert(0, generator.values)
        of_tasks = {pair.task: pair.non_homologous[-1].values for pair in references.pool}
        if len(of_tasks) < 2 and not common:
            raise ValueError(
                f"the background of a pair leaves the pair's own task out, so it needs at least "
                f"two tasks, siblings or a generator; got {len(of_tasks)} task"
            )
        return cls(tuple(common), of_tasks)

    def matrix(self, without: str | None = None) -> Float[np.ndarray, "n w"]:
        """Joins everything but the task that is left out, side by side."""
        others = [values for task, values in self.of_tasks.items() if task != without]
        return np.concatenate([*self.common, *others], axis=1)


def residual_fragments(
    background: Float[np.ndarray, "n w"],
    source: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "n p"],
    *,
    align: bool,
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n o"]]:
    """Takes the background out of source and target, and maps what is left onto the source.

    Both regressions of a fold, background to responses and target to source, are fitted on the
    same training queries: fitted apart, what is left of different folds stays correlated, and a
    wide target that knows nothing seems to know the source.

    Args:
        background: from :meth:`Background.matrix`.
        source: responses of the source.
        target: responses of the target on the same queries.
        align: whether the target is mapped into the source's coordinates.

    Returns:
        Fragments of source and target, standardised residuals; ``o`` is ``d`` with ``align``,
        else ``p``.

    Raises:
        ValueError: background or target are too wide for so few queries
            (:func:`mgmp_jax.linear.check_width`).
    """
    n = len(source)
    check_width(background.shape[1], n, "the background is")
    if align:
        check_width(target.shape[1], n, "the target's responses are")
    z, s, t = (standardise_exactly(x) for x in (background, source, target))
    fold = np.asarray(folds_of(n))
    left_s, left_t, parts = np.empty_like(s), np.empty_like(t), []
    for number in range(FOLDS):
        fit, held = fold != number, fold == number
        inside, outside = _residual(z, np.concatenate([s, t], axis=1), fit, held)
        left_s[held], left_t[held] = np.split(outside, [s.shape[1]], axis=1)
        parts.append((held, inside, outside))
    deviation_s, deviation_t = left_s.std(axis=0), left_t.std(axis=0)
    if align:
        aligned = np.empty_like(s)
        for held, inside, outside in parts:
            rows = [np.split(x, [s.shape[1]], axis=1) for x in (inside, outside)]
            (y, x), (_, x_held) = [
                (_scale(a, deviation_s), _scale(b, deviation_t)) for a, b in rows
            ]
            aligned[held] = _ridge(x, y, x_held)
    else:
        aligned = _scale(left_t - left_t.mean(axis=0), deviation_t)
    source_fragments = _scale(left_s - left_s.mean(axis=0), deviation_s)
    return source_fragments.astype(np.float32), aligned.astype(np.float32)


def _residual(
    inputs: np.ndarray, outputs: np.ndarray, fit: np.ndarray, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What a ridge regression on the rows ``fit`` leaves of these rows and of those held out."""
    predicted = _ridge(inputs[fit], outputs[fit], np.concatenate([inputs[fit], inputs[held]]))
    inside, outside = np.split(predicted, [int(fit.sum())])
    return outputs[fit] - inside, outputs[held] - outside


def _ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    centred = x - x_mean
    gram = centred.T @ centred / len(x) + PENALTY * np.eye(x.shape[1])
    return (new - x_mean) @ np.linalg.solve(gram, centred.T @ (y - y_mean) / len(x)) + y_mean


def _scale(values: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Divides by the deviation; a coordinate without any becomes 0."""
    varies = deviation > 0
    return np.where(varies, values / np.where(varies, deviation, 1), 0)
