"""Model Provenance via Model DNA (MGMP) in JAX and Flax.

Import what you need: ``mgmp_jax.losses`` (JAX and optax only), ``mgmp_jax.dna``,
``mgmp_jax.responses``, ``mgmp_jax.models``, ``mgmp_jax.data``, ``mgmp_jax.pool``,
``mgmp_jax.mgmp``, ``mgmp_jax.verifier``, ``mgmp_jax.reporting``.
"""
