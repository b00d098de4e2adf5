"""The model store: source, pool and suspect models of the experiments, trained once and kept."""

from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.store.store import ModelStore

__all__ = ["ModelSpec", "ModelStore"]
