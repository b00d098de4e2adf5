"""The background: what models answer that never saw the source, and what is left without it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from mgmp_jax.linear import (
    PENALTY,
    check_width,
    fold_slices,
    num_varying,
    standardise_exactly,
    widest,
)
from mgmp_jax.references import OneQuerySet
from mgmp_jax.responses import Responses

__all__ = ["Background", "ResidualFragments"]


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """What unrelated models share, and what is therefore taken out of all responses.

    Args:
        common: what is taken out for everybody, each ``[n, any]``: the embedding of a fixed
            generator, and the responses of the source's siblings.
        of_tasks: for each task of the pool the responses of its non-homologous model.
        siblings: how many siblings there are in ``common``.
    """

    common: tuple[np.ndarray, ...]
    of_tasks: Mapping[str, np.ndarray]
    siblings: int = 0

    @classmethod
    def of(cls, references: OneQuerySet, generator: Responses | None = None) -> Background:
        """Collects the background of a reference set, with the siblings where there are some.

        Of each task the last non-homologous model stands for all its checkpoints. Of the siblings
        the first are taken, as many as the number of queries allows
        (:func:`mgmp_jax.linear.widest`).

        Args:
            references: the answers to the query set.
            generator: the embedding of a fixed generator on the same queries.

        Raises:
            ValueError: the generator answered other queries, or there is one task only and
                nothing else, so that nothing is left for its own pair.
        """
        common = []
        if generator is not None:
            references.source.check_same_queries(generator)
            common.append(generator.values)
        of_tasks = {pair.task: pair.non_homologous[-1].values for pair in references.pool}
        limit = widest(len(references.source))
        room = limit - sum(values.shape[1] for values in (*common, *of_tasks.values()))
        widths = np.cumsum([model.values.shape[1] for model in references.siblings])
        siblings = references.siblings[: int(np.sum(widths <= room))]
        if len(siblings) < len(references.siblings):
            warnings.warn(
                f"{len(siblings)} of {len(references.siblings)} siblings join the background: it "
                f"may be {limit} wide for so many queries; ask more, so that more of them join",
                stacklevel=2,
            )
        common += [model.values for model in siblings]
        if len(of_tasks) < 2 and not common:
            raise ValueError(
                "the background of a pair leaves the pair's own task out, so it needs at least two "
                f"tasks, siblings or a generator; got {len(of_tasks)} task and "
                f"{len(references.siblings)} siblings, of which {limit} coordinates for "
                f"{len(references.source)} queries leave room for {len(siblings)}"
            )
        return cls(tuple(common), of_tasks, len(siblings))

    def matrix(self, without: str | None = None) -> Float[np.ndarray, "n w"]:
        """Joins everything but the task that is left out, side by side."""
        others = [values for task, values in self.of_tasks.items() if task != without]
        return np.concatenate([*self.common, *others], axis=1)


class ResidualFragments:
    """Takes the background out of source and targets, and maps what is left onto the source.

    Both regressions of a fold, background to responses and target to source, are fitted on the
    same training queries: fitted apart, what is left of different folds stays correlated, and a
    wide target that knows nothing seems to know the source. The background is factored once for
    all targets: ``8 (n w + 5 w^2 + 5 n d)`` bytes are kept.

    Args:
        background: from :meth:`Background.matrix`.
        source: responses of the source.

    Raises:
        ValueError: the background is too wide for so few queries
            (:func:`mgmp_jax.linear.check_width`).
    """

    def __init__(
        self, background: Float[np.ndarray, "n w"], source: Float[np.ndarray, "n d"]
    ) -> None:
        n, width = background.shape
        check_width(width, n, "the background is")
        self._order, self._parts = fold_slices(n)
        x = standardise_exactly(background)[self._order]
        self._x, self._inverses, self._means = x, [], []
        for part in self._parts:
            fit = np.delete(x, part, axis=0)
            mean = fit.mean(axis=0)
            gram = (fit - mean).T @ (fit - mean) / len(fit)
            self._inverses.append(np.linalg.inv(gram + PENALTY * np.eye(width)))
            self._means.append(mean)
        self._left = self._leave(source)

    def of(
        self, target: Float[np.ndarray, "n p"], *, align: bool
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n o"]]:
        """Makes the fragments of source and target.

        Args:
            target: responses of the target on the same queries.
            align: whether the target is mapped into the source's coordinates.

        Returns:
            Standardised residuals; ``o`` is ``d`` with ``align``, else ``p``.

        Raises:
            ValueError: the target is too wide for so few queries.
        """
        if align:
            check_width(num_varying(target), len(target), "the target's responses are")
        left_t = self._leave(target)
        s, t = (self._held_out(left) for left in (self._left, left_t))
        aligned = _scale(t - t.mean(axis=0), t.std(axis=0))
        if align:
            aligned = np.empty_like(s)
            for part, of_s, of_t in zip(self._parts, self._left, left_t, strict=True):
                y, x = _scale(of_s, s.std(axis=0)), _scale(of_t, t.std(axis=0))
                aligned[part] = _ridge(np.delete(x, part, 0), np.delete(y, part, 0), x[part])
        fragments = (_scale(s - s.mean(axis=0), s.std(axis=0)), aligned)
        back = np.argsort(self._order)
        return fragments[0][back].astype(np.float32), fragments[1][back].astype(np.float32)

    def _leave(self, responses: np.ndarray) -> list[np.ndarray]:
        """What the background leaves of responses ``[n, p]``, by the fit of each fold."""
        y = standardise_exactly(responses)[self._order]
        products = [self._x[part].T @ y[part] for part in self._parts]
        whole, total, left = np.sum(products, axis=0), y.sum(axis=0), []
        for part, product, inverse, x_mean in zip(
            self._parts, products, self._inverses, self._means, strict=True
        ):
            rows = len(y) - (part.stop - part.start)
            y_mean = (total - y[part].sum(axis=0)) / rows
            coefficients = inverse @ ((whole - product) / rows - np.outer(x_mean, y_mean))
            left.append(y - y_mean - (self._x - x_mean) @ coefficients)
        return left

    def _held_out(self, left: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([one[part] for one, part in zip(left, self._parts, strict=True)])


def _ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    centred = x - x_mean
    gram = centred.T @ centred / len(x) + PENALTY * np.eye(x.shape[1])
    return (new - x_mean) @ np.linalg.solve(gram, centred.T @ (y - y_mean) / len(x)) + y_mean


def _scale(values: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Divides by the deviation; a coordinate without any becomes 0."""
    varies = deviation > 0
    return np.where(varies, values / np.where(varies, deviation, 1), 0)
