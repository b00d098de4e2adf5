"""What a finished run leaves behind: its ``results.json``, its pictures, and a page to hand on.

Pictures need matplotlib, those of fragments scikit-learn too: ``pip install 'mgmp_jax[plots]'``;
the page needs jinja2 beside them: ``pip install 'mgmp_jax[report]'``.
"""

from mgmp_jax.reporting.figures import (
    plot_curves,
    plot_forgetting,
    plot_fragments,
    plot_grid,
    plot_ratios,
    plot_retention,
    plot_scores,
)
from mgmp_jax.reporting.page import write_page
from mgmp_jax.reporting.results import (
    accuracy,
    auc,
    clopper_pearson,
    environment,
    first_places,
    separation,
    summarise,
)

__all__ = [
    "accuracy",
    "auc",
    "clopper_pearson",
    "environment",
    "first_places",
    "plot_curves",
    "plot_forgetting",
    "plot_fragments",
    "plot_grid",
    "plot_ratios",
    "plot_retention",
    "plot_scores",
    "separation",
    "summarise",
    "write_page",
]
