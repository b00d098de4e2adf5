"""What a finished run leaves behind: its ``results.json`` and its pictures."""

from mgmp_jax.reporting.figures import plot_fragments, plot_scores, plot_training
from mgmp_jax.reporting.results import accuracy, count, environment, summarise

__all__ = [
    "accuracy",
    "count",
    "environment",
    "plot_fragments",
    "plot_scores",
    "plot_training",
    "summarise",
]
