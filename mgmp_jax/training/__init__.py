"""The one supervised loop, which trains the store's models and MGMP alike, and its recipes."""

from mgmp_jax.training.loop import (
    Batch,
    LossFn,
    Metrics,
    Step,
    TrainState,
    compute_dtype,
    console,
    create_state,
    data_mesh,
    epoch_order,
    fit,
    make_step,
    predict,
    take,
    take_trimmed,
)

__all__ = [
    "Batch",
    "LossFn",
    "Metrics",
    "Step",
    "TrainState",
    "compute_dtype",
    "console",
    "create_state",
    "data_mesh",
    "epoch_order",
    "fit",
    "make_step",
    "predict",
    "take",
    "take_trimmed",
]
