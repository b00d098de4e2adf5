"""Numbers of a run: summaries over models, and the machine they came from."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats

from mgmp_jax.training import num_cores

__all__ = [
    "accuracy",
    "auc",
    "clopper_pearson",
    "environment",
    "first_places",
    "separation",
    "summarise",
]


def summarise(homologous: np.ndarray, non_homologous: np.ndarray, threshold: float) -> dict:
    """The figures of a table row, from fragment scores.

    Args:
        homologous: fragment scores of the homologous evaluation models, ``[s, m, n]``: seeds of
            the MGMP training, models, fragments.
        non_homologous: those of their non-homologous partners, ``[s, m, n]``; pair ``i`` was
            trained on the same task.
        threshold: ``delta``, for the verdicts.

    Returns:
        ``accuracy``: the paper's ``(A_n + A_o) / 2N``, mean over pairs and seeds, ``std`` over
        pairs (of their means over seeds; ``None`` for one pair) and ``by_seed``; ``auc`` of the
        DNA scores, counted by model, mean over seeds; ``missed``: homologous models whose DNA
        score is below ``delta``, and ``false_alarms``: non-homologous ones whose score is not,
        each a count for every seed, with the ``missed_interval`` and ``false_alarms_interval``
        of the rate among the ``pairs`` models of one seed, the one with the most;
        ``missed_at_half`` and ``false_alarms_at_half``: the counts with one half for ``delta``.
    """
    accuracy = ((homologous >= 0.5).mean(axis=2) + (non_homologous < 0.5).mean(axis=2)) / 2
    dna = [scores.mean(axis=2, dtype=np.float64) for scores in (homologous, non_homologous)]
    seeds, pairs = accuracy.shape
    counts: dict[str, Any] = {}
    for name, delta in (("", threshold), ("_at_half", 0.5)):
        counts[f"missed{name}"] = (dna[0] < delta).sum(axis=1).tolist()
        counts[f"false_alarms{name}"] = (dna[1] >= delta).sum(axis=1).tolist()
    for name in ("missed", "false_alarms"):
        counts[f"{name}_interval"] = clopper_pearson(max(counts[name]), pairs)
    return {
        "accuracy": float(accuracy.mean()),
        "std": float(accuracy.mean(axis=0).std(ddof=1)) if pairs > 1 else None,
        "by_seed": accuracy.mean(axis=1).tolist(),
        "auc": float(np.mean([auc(*of_seed) for of_seed in zip(*dna, strict=True)])),
        "pairs": pairs,
        "seeds": seeds,
        **counts,
    }


def separation(positive: np.ndarray, negative: np.ndarray) -> dict[str, Any]:
    """How well scores tell two kinds of models apart, counted by model.

    Args:
        positive: a score for each model that should score high, ``[p]``.
        negative: one for each that should not, ``[q]``.

    Returns:
        ``auc``; ``tpr_5`` and ``tpr_1``, the share of positive models above a threshold that at
        most 5 % and 1 % of the negative ones reach, each with its ``_interval`` (Clopper-Pearson;
        the threshold's own uncertainty is not in it); ``positives`` and ``negatives``, how many
        there were.
    """
    found: dict[str, Any] = {
        "auc": auc(positive, negative),
        "positives": len(positive),
        "negatives": len(negative),
    }
    for percent in (5, 1):
        allowed = int(len(negative) * percent / 100)
        threshold = np.sort(negative)[::-1][allowed]
        above = int(np.sum(np.asarray(positive) > threshold))
        found[f"tpr_{percent}"] = above / len(positive)
        found[f"tpr_{percent}_interval"] = clopper_pearson(above, len(positive))
    return found


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The chance that a positive score is above a negative one, ties counted by half."""
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    p, q = len(positive), len(negative)
    return float((ranks[:p].sum() - p * (p + 1) / 2) / (p * q))


def accuracy(summary: Mapping[str, Any]) -> str:
    """``accuracy ± std`` of a summary, in words."""
    spread = "" if summary["std"] is None else f" ± {summary['std']:.4f}"
    return f"{summary['accuracy']:.4f}{spread}"


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> list[float]:
    """Exact confidence interval of a rate (Clopper and Pearson, 1934)."""
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return [float(interval.low), float(interval.high)]


def environment() -> dict[str, Any]:
    """Command, versions, device and git revision of this process."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "command": " ".join(["python", *sys.argv]),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "device": _devices(),
        "cores": num_cores(),
        "git_revision": _git_revision(),
    }


def _devices() -> str:
    """What computes; of the CPU one, whatever parts it is used in."""
    number = 1 if jax.default_backend() == "cpu" else jax.device_count()
    return f"{number} x {jax.devices()[0].device_kind}"


def _git_revision() -> str:
    def git(*args: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" with changes" if git("status", "--short") else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def first_places(of_transformation: Mapping[str, Any], queries: str, kind: str) -> str:
    """Of how many models of a kind the source came first in the sibling test, in words."""
    groups = of_transformation["sibling_test"][queries].items()
    counted = [group for name, group in groups if name.split(",")[0] == kind]
    return f"{sum(g['first'] for g in counted)} of {sum(g['models'] for g in counted)}"
