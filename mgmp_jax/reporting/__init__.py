"""What a finished run leaves behind: its ``results.json`` and its pictures."""

from mgmp_jax.reporting.figures import (
    plot_curves,
    plot_forgetting,
    plot_fragments,
    plot_grid,
    plot_scores,
    plot_training,
)
from mgmp_jax.reporting.results import (
    accuracy,
    clopper_pearson,
    count,
    environment,
    separation,
    summarise,
)

__all__ = [
    "accuracy",
    "clopper_pearson",
    "count",
    "environment",
    "plot_curves",
    "plot_forgetting",
    "plot_fragments",
    "plot_grid",
    "plot_scores",
    "plot_training",
    "separation",
    "summarise",
]
