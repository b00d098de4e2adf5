"""Numbers of a run: summaries over models, and the machine they came from."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

__all__ = ["clopper_pearson", "environment", "summarise"]


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
        pairs (of their means over seeds) and ``by_seed``; ``auc`` of the DNA scores, counted by
        model, mean over seeds; ``wrong``: models judged wrongly at DNA level, where a score of
        at least ``delta`` is homologous and any other not, over all seeds, with the
        ``interval`` of that rate by Clopper and Pearson for the models of the worst seed;
        ``wrong_at_half``: the same with one half for ``delta``; ``inconclusive``: scores
        between ``1 - delta`` and ``delta``.
    """
    accuracy = ((homologous >= 0.5).mean(axis=2) + (non_homologous < 0.5).mean(axis=2)) / 2
    dna = [scores.mean(axis=2, dtype=np.float64) for scores in (homologous, non_homologous)]
    seeds, pairs = accuracy.shape
    truth = np.repeat([1, 0], pairs)
    wrong, wrong_at_half = (
        (dna[0] < delta).sum(axis=1) + (dna[1] >= delta).sum(axis=1) for delta in (threshold, 0.5)
    )
    between = [(scores > 1 - threshold) & (scores < threshold) for scores in dna]
    return {
        "accuracy": float(accuracy.mean()),
        "std": float(accuracy.mean(axis=0).std(ddof=1)) if pairs > 1 else 0.0,
        "by_seed": accuracy.mean(axis=1).tolist(),
        "auc": float(
            np.mean([roc_auc_score(truth, np.concatenate(s)) for s in zip(*dna, strict=True)])
        ),
        "wrong": int(wrong.sum()),
        "wrong_at_half": int(wrong_at_half.sum()),
        "inconclusive": int(sum(b.sum() for b in between)),
        "judged": int(2 * pairs * seeds),
        "models": int(2 * pairs),
        "interval": clopper_pearson(int(wrong.max()), 2 * pairs),
    }


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
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "git_revision": _git_revision(),
    }


def _git_revision() -> str:
    def git(*args: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" with changes" if git("status", "--short") else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
