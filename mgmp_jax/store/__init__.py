"""The model store: trained models in a folder, each made once and found again by its spec."""

from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.store.store import ModelStore

__all__ = ["ModelSpec", "ModelStore"]
