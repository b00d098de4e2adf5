"""Fragments of source and targets, for the pool while MGMP learns and for suspects after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mgmp_jax import dna
from mgmp_jax.background import Background, ResidualFragments
from mgmp_jax.config import MGMPConfig
from mgmp_jax.data.buckets import trim
from mgmp_jax.linear import check_width, num_varying, standardise
from mgmp_jax.references import OneQuerySet
from mgmp_jax.responses import ResponseKind, Responses, can_convert

__all__ = [
    "check_equal_width",
    "fragment_maker",
    "gather_pair",
    "gather_trimmed_pair",
    "kind_read",
    "make_source_fragments",
    "pool_arrays",
    "read_as",
]


def kind_read(config: MGMPConfig, kind: ResponseKind) -> ResponseKind:
    """Names the kind as which a config reads responses; under alignment it reads any."""
    return kind if config.align and not can_convert(kind, config.response) else config.response


def read_as(config: MGMPConfig, responses: Responses) -> Responses:
    """Converts responses to the kind of :func:`kind_read`.

    Raises:
        ValueError: they cannot be converted, and are not aligned.
    """
    return responses.to(kind_read(config, responses.kind))


def check_equal_width(source: Responses, target: Responses) -> None:
    """Raises ``ValueError`` unless both answer in as many numbers."""
    if source.values.shape[1] != target.values.shape[1]:
        raise ValueError(
            f"source and {target.model or 'target'} give responses {source.values.shape[1]} and "
            f"{target.values.shape[1]} wide; without align=True they must be equally wide"
        )


def fragment_maker(
    config: MGMPConfig, source: Responses, latents: np.ndarray | None
) -> Callable[[Responses], tuple[np.ndarray, np.ndarray]]:
    """Prepares the fragments of a source with any target (Eq. 4), aligned where the config says.

    Args:
        config: of the MGMP.
        source: responses of the source, as :func:`read_as` gives them.
        latents: of the generator, or the background, ``[n, z]``; ``None`` for nothing.

    Returns:
        A function of a target's responses on the same queries, as :func:`read_as` gives them,
        that makes the fragments of source and target, each ``[n, o]``. It raises ``ValueError``
        where the widths differ without alignment, or are too large for the queries.

    Raises:
        ValueError: the background is too wide for the queries.
    """
    residual = None
    if config.assemble == "residual" and latents is not None:
        residual = ResidualFragments(latents, source.values)

    def make(target: Responses) -> tuple[np.ndarray, np.ndarray]:
        if not config.align:
            check_equal_width(source, target)
        if residual is not None:
            return residual.of(target.values, align=config.align)
        if config.align:
            check_width(num_varying(target.values), len(target), "the target's responses are")
        z = None if latents is None else jnp.asarray(latents)
        s, t = (dna.assemble(z, jnp.asarray(r.values), config.assemble) for r in (source, target))
        if config.align:
            s, t = standardise(s), dna.align(s, t)
        return np.asarray(s), np.asarray(t)

    return make


def make_source_fragments(
    config: MGMPConfig, source: Responses, latents: np.ndarray | None
) -> np.ndarray:
    """Makes the fragments ``[n, o]`` of the source, which no target changes (Eq. 4).

    Args:
        config: of the MGMP.
        source: responses of the source, as :func:`read_as` gives them.
        latents: as of :func:`fragment_maker`.

    Raises:
        ValueError: the latents are too wide for the queries.
    """
    fragments, _ = fragment_maker(config.replace(align=False), source, latents)(source)
    if config.align and (latents is None or config.assemble != "residual"):
        fragments = np.asarray(standardise(jnp.asarray(fragments)))
    return fragments


def pool_arrays(
    config: MGMPConfig,
    own: OneQuerySet,
    source: Responses,
    background: Background | None,
    fixed: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Stacks the fragments of all pairs of the pool, for :func:`gather_pair`.

    Args:
        config: of the MGMP.
        own: the reference set on the query set that MGMP asks.
        source: the source's responses, as :func:`read_as` gives them.
        background: where there is one; a pair's own task is left out of it.
        fixed: latents of a fixed generator without a background, ``[n, z]``.

    Returns:
        ``source``, ``homologous`` and ``non_homologous``, each ``[p, n, o]`` (bare responses where
        a generator is trained), and with set context ``homologous_context`` and
        ``non_homologous_context``, each ``[p, c]``.
    """
    sides = ("homologous", "non_homologous")
    sets: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {side: [] for side in sides}
    for pair in own.pool:
        latents = fixed if background is None else background.matrix(without=pair.task)
        make = _pool_fragments(config, source, latents)
        many = max(len(pair.homologous), len(pair.non_homologous))
        for side in sides:
            made = [make(read_as(config, model)) for model in getattr(pair, side)]
            sets[side] += [made[i % len(made)] for i in range(many)]
    data = {"source": np.stack([s for s, _ in sets["homologous"]])}
    for side in sides:
        data[side] = np.stack([t for _, t in sets[side]])
        if config.context:
            contexts = [dna.set_context(jnp.asarray(s), jnp.asarray(t)) for s, t in sets[side]]
            data[f"{side}_context"] = np.stack(contexts)
    return data


def _pool_fragments(
    config: MGMPConfig, source: Responses, latents: np.ndarray | None
) -> Callable[[Responses], tuple[np.ndarray, np.ndarray]]:
    """Makes fragments; bare responses where a generator is still to be trained."""
    if config.generator is None:
        return fragment_maker(config, source, latents)

    def bare(target: Responses) -> tuple[np.ndarray, np.ndarray]:
        check_equal_width(source, target)
        return source.values, target.values

    return bare


def gather_pair(data: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a mini-batch: some queries, with the source and one pair of targets.

    Args:
        data: ``source``, ``homologous`` and ``non_homologous``, each ``[p, n, o]``: fragments, or
            responses where a generator is trained; with set context also
            ``homologous_context`` and ``non_homologous_context``, ``[p, c]``; ``inputs``,
            ``[n, ...]``, where a generator is trained.
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
    """Makes the mini-batch of :func:`gather_pair`, texts cut to their bucket; on the host only."""
    batch = gather_pair(data, index)
    return {**batch, "inputs": trim(batch["inputs"])}
