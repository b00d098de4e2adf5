"""Did two models begin with independent random weights? A test of weights with an exact p-value.

It is that of Zhu, Ahmed, Kuditipudi and Liang, "Independence Tests for Language Models" (2025):
hidden units have no order of their own, so that a network whose units are shuffled is as likely as
itself to have come of the same training. A model whose weights resemble another's more than those
of its shuffled copies do was not started independently of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from mgmp_jax.arrays import check_whole

__all__ = ["independence_p", "shuffle_units"]

_Path = tuple[str, ...]
_Beside = list[tuple[_Path, int]]
_NUMBERED = re.compile(r"(.*[a-z])(\d+)")


def independence_p(
    source: Mapping[str, Any], suspect: Mapping[str, Any], *, copies: int = 99, seed: int = 0
) -> float:
    """Tests whether two models of one architecture began with independent random weights.

    The architecture is one of :mod:`mgmp_jax.models`, by whose names of layers hidden units are
    found; for another, look first whether :func:`shuffle_units` leaves its outputs as they are.

    What is compared is the sum of the products of all weights next to hidden units; any other
    statistic would be as exact. The p-value needs no siblings and no other models, and knows
    nothing of what either was trained on. Models that both began as the same public checkpoint
    are not independent.

    Args:
        source: parameters of the source as Flax keeps them.
        suspect: parameters of the suspect. Its last layer may be another.
        copies: how many shuffled copies of the source are made; the least p is
            ``1 / (copies + 1)``.
        seed: of the copies; p is exact over its draw, so fix it before the suspect is seen.

    Returns:
        The share of source and copies that resemble the suspect at least as much as the source.

    Raises:
        ValueError: there are no hidden units to shuffle, the suspect's differ in name or shape, a
            weight is not finite, or ``copies`` is below 1.
    """
    check_whole("copies", copies, 1)
    ours, theirs = map(_float64, (source, suspect))
    units = list(_units(ours))
    beside = sorted({path for one in units for path, _ in one})
    if not beside:
        raise ValueError(
            "no hidden units found to shuffle: expected layers that are numbered in one module, "
            "as conv1 and conv2, or fc1 and fc2"
        )
    for name in beside:
        if name not in theirs or theirs[name].shape != ours[name].shape:
            got = f"shape {theirs[name].shape}" if name in theirs else "none"
            raise ValueError(
                f"the suspect must have the source's hidden units: expected {'/'.join(name)} of "
                f"shape {ours[name].shape}, got {got}"
            )
        for who, weights in (("source", ours), ("suspect", theirs)):
            if not np.isfinite(weights[name]).all():
                raise ValueError(f"{'/'.join(name)} of the {who} is not finite")

    def resembles(weights: Mapping[_Path, np.ndarray]) -> float:
        return sum(float(np.vdot(weights[path], theirs[path])) for path in beside)

    rng, own = np.random.default_rng(seed), resembles(ours)
    as_much = sum(resembles(_shuffle(ours, units, rng)) >= own for _ in range(copies))
    return (1 + as_much) / (copies + 1)


def shuffle_units(variables: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Puts hidden units into another order; the network computes what it computed.

    That is so for the architectures of :mod:`mgmp_jax.models`. Shuffled are the units between
    layers that are numbered in one module: the channels inside ResNet's blocks, of AlexNet's
    convolutions and first hidden layer, the hidden units of transformers' feed-forward parts.

    Args:
        variables: the collections ``params`` and ``batch_stats`` of a model, or parameters alone.
        rng: draws the order.
    """
    flat = flatten_dict(variables, keep_empty_nodes=True)
    return unflatten_dict(_shuffle(flat, list(_units(flat)), rng))


def _float64(params: Mapping[str, Any]) -> dict[_Path, np.ndarray]:
    return {path: np.asarray(leaf, np.float64) for path, leaf in flatten_dict(params).items()}


def _units(weights: Mapping[_Path, Any]) -> Iterator[_Beside]:
    """Finds units between two layers: the arrays beside them, and along which axis they lie."""
    for path, kernel in weights.items():
        *scope, layer, what = path if len(path) > 1 else ("", "")
        numbered = _NUMBERED.fullmatch(layer)
        if what != "kernel" or numbered is None:
            continue
        kind, number = numbered[1], int(numbered[2])
        after = (*scope, f"{kind}{number + 1}", "kernel")
        if after not in weights or np.shape(weights[after])[-2] != np.shape(kernel)[-1]:
            continue
        norm = {(*scope, f"norm{number}")} if kind == "conv" else set()
        norm |= {("batch_stats", *one[1:]) for one in norm}
        own = {(*scope, layer)} | norm
        yield [(after, -2), *((name, -1) for name in weights if name[:-1] in own)]


def _shuffle(
    weights: Mapping[_Path, Any], units: Sequence[_Beside], rng: np.random.Generator
) -> dict[_Path, Any]:
    shuffled = dict(weights)
    for beside in units:
        first, axis = beside[0]
        order = rng.permutation(np.shape(weights[first])[axis])
        for path, axis in beside:
            shuffled[path] = np.take(np.asarray(shuffled[path]), order, axis)
    return shuffled
