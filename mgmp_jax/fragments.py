"""What stands for the pool's models while MGMP learns: arrays, and mini-batches of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from mgmp_jax import dna
from mgmp_jax.config import MGMPConfig
from mgmp_jax.data.buckets import trim
from mgmp_jax.responses import Responses

__all__ = [
    "check_latents",
    "consensus",
    "gather_pair",
    "gather_trimmed_pair",
    "pool_arrays",
    "prepare",
]


def prepare(
    config: MGMPConfig, source: Responses, target: Responses, latents: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What stands for source and target wherever the generator is not being trained.

    The responses as they are; or, with ``latents``, fragments assembled from them; with
    ``config.align`` the source's standardised and the target's mapped into its coordinates.

    Args:
        config: what to prepare for.
        source: responses of the source model.
        target: responses of the target model on the same queries.
        latents: of a fixed generator, ``[n, z]``.

    Returns:
        Source and target, each ``[n, o]``.

    Raises:
        ValueError: the query sets or kinds differ or, without alignment, the widths; or the
            latents are missing, not finite or of other queries.
    """
    check_latents(config, latents, len(source))
    source.check_same_queries(target)
    for responses in (source, target):
        if responses.kind != config.response:
            raise ValueError(
                f"{responses.model or 'responses'} are {responses.kind}, but this MGMP reads "
                f"{config.response}"
            )
    if not config.align and source.values.shape != target.values.shape:
        raise ValueError(
            f"source and target responses are {source.values.shape[1]} and "
            f"{target.values.shape[1]} wide; without align=True they must be equally wide"
        )
    z = None if latents is None else jnp.asarray(latents)
    s, t = (dna.assemble(z, jnp.asarray(r.values), config.assemble) for r in (source, target))
    if config.align:
        s, t = dna.standardise(s), dna.align(t, s)
    return np.asarray(s), np.asarray(t)


def check_latents(config: MGMPConfig, latents: np.ndarray | None, n: int) -> None:
    """Raises ``ValueError`` unless a fixed generator's latents are there and fit ``n`` queries."""
    if config.generator is not None:
        return
    if latents is None:
        if config.assemble == "residual":
            raise ValueError(
                "residual fragments are what latents leave of the responses, but no latents are "
                "given; give those of a fixed generator or of a consensus, or choose "
                "assemble='addition' for responses alone"
            )
        return
    latents = np.asarray(latents)
    if latents.ndim != 2 or len(latents) != n or not np.isfinite(latents).all():
        raise ValueError(
            f"latents must be finite numbers [n, z] for the {n} queries, got shape {latents.shape}"
            + ("" if np.isfinite(latents).all() else " with numbers that are not finite")
        )


def consensus(
    latents: np.ndarray | None, non_homologous: Sequence[Responses], tasks: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Latents joined by what models answer that never saw the source.

    What a fixed generator and non-homologous models of other tasks agree on says nothing of the
    source; under ``assemble="residual"`` it is taken out of all responses.

    Args:
        latents: of a fixed generator, ``[n, z]``; ``None`` without one.
        non_homologous: the responses ``[n, d]`` of one non-homologous pool model a task.
        tasks: for each pair of the pool, the index of its task in ``non_homologous``.

    Returns:
        The latents for suspects, ``[n, z + sum of d]``, and those for each pair of the pool, from
        which the model of its own task is left out.

    Raises:
        ValueError: there are fewer than two tasks, a pair's task is not among them, or the
            models answered different query sets.
    """
    if len(non_homologous) < 2:
        raise ValueError(f"a consensus needs at least two tasks, got {len(non_homologous)}")
    unknown = sorted(set(tasks) - set(range(len(non_homologous))))
    if unknown:
        raise ValueError(f"tasks are 0 to {len(non_homologous) - 1}, got {unknown}")
    for other in non_homologous[1:]:
        non_homologous[0].check_same_queries(other)
    common = [] if latents is None else [latents]

    def without(task: int | None) -> np.ndarray:
        others = [model.values for i, model in enumerate(non_homologous) if i != task]
        return np.concatenate([*common, *others], axis=1)

    return without(None), [without(task) for task in tasks]


def pool_arrays(
    config: MGMPConfig,
    source: Responses,
    homologous: Sequence[Responses],
    non_homologous: Sequence[Responses],
    latents: np.ndarray | Sequence[np.ndarray] | None,
) -> dict[str, np.ndarray]:
    """What :func:`prepare` gives of all pool models, stacked.

    Args:
        config: of the MGMP.
        source: responses of the source model.
        homologous: responses of ``p`` pool models.
        non_homologous: responses of ``q`` pool models.
        latents: ``[n, z]``, or one such array for each pair.

    Returns:
        ``source`` and ``homologous``, each ``[p, n, o]``, and ``non_homologous``, ``[q, n, o]``;
        with ``config.context`` also ``homologous_context``, ``[p, c]``, and
        ``non_homologous_context``, ``[q, c]``.
    """
    data: dict[str, np.ndarray] = {}
    for side, targets in (("homologous", homologous), ("non_homologous", non_homologous)):
        of_target = latents if isinstance(latents, Sequence) else [latents] * len(targets)
        sets = [
            prepare(config, source, target, z) for target, z in zip(targets, of_target, strict=True)
        ]
        if side == "homologous":
            data["source"] = np.stack([s for s, _ in sets])
        data[side] = np.stack([t for _, t in sets])
        if config.context:
            contexts = [dna.set_context(jnp.asarray(s), jnp.asarray(t)) for s, t in sets]
            data[f"{side}_context"] = np.stack(contexts)
    return data


def gather_pair(data: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """A mini-batch: some queries, with the source and one pair of targets.

    Args:
        data: from :func:`pool_arrays`; ``inputs``, ``[n, ...]``, where a generator is trained.
        index: ``query``, ``[b]``, and ``pair``: the numbers of the two models.
    """
    query, pair = index["query"], index["pair"]
    batch = {"source": data["source"][pair[0], query]}
    if "inputs" in data:
        batch["inputs"] = data["inputs"][query]
    for side, model in (("homologous", pair[0]), ("non_homologous", pair[1])):
        batch[side] = data[side][model, query]
        if f"{side}_context" in data:
            context = data[f"{side}_context"][model]
            batch[f"{side}_context"] = context[None].repeat(len(query), axis=0)
    return batch


def gather_trimmed_pair(data: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """As :func:`gather_pair`, for texts, cut to the width of their bucket; on the host only."""
    batch = gather_pair(data, index)
    return {**batch, "inputs": trim(batch["inputs"])}
