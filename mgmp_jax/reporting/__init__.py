"""What a finished run leaves behind: its ``results.json`` and its pictures.

Pictures need matplotlib, those of fragments scikit-learn too: ``pip install 'mgmp_jax[plots]'``.
"""

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
    auc,
    clopper_pearson,
    count,
    environment,
    first_places,
    separation,
    summarise,
)

__all__ = [
    "accuracy",
    "auc",
    "clopper_pearson",
    "count",
    "environment",
    "first_places",
    "plot_curves",
    "plot_forgetting",
    "plot_fragments",
    "plot_grid",
    "plot_scores",
    "plot_training",
    "separation",
    "summarise",
]
