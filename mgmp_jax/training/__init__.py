"""Training: one loop for all models, the recipe of a classifier, and prediction."""

from mgmp_jax.processes import start_processes
from mgmp_jax.training.display import console
from mgmp_jax.training.inference import predict
from mgmp_jax.training.loop import (
    Batch,
    LossFn,
    Metrics,
    Step,
    TrainState,
    compute_dtype,
    create_state,
    epoch_order,
    fit,
    make_step,
    take,
    take_trimmed,
)
from mgmp_jax.training.mesh import data_mesh, num_cores, use_cores
from mgmp_jax.training.recipe import Recipe, classification_step

__all__ = [
    "Batch",
    "LossFn",
    "Metrics",
    "Recipe",
    "Step",
    "TrainState",
    "classification_step",
    "compute_dtype",
    "console",
    "create_state",
    "data_mesh",
    "epoch_order",
    "fit",
    "make_step",
    "num_cores",
    "predict",
    "start_processes",
    "take",
    "take_trimmed",
    "use_cores",
]
