"""Model Provenance via Model DNA (MGMP) in JAX and Flax.

Start with :class:`mgmp_jax.verifier.Verifier`, which answers from the responses of an owner's
:class:`~mgmp_jax.references.ReferenceSet`; its methods are in ``mgmp_jax.methods``. By themselves
stand ``mgmp_jax.losses`` (JAX and optax only), ``mgmp_jax.similarities``, ``mgmp_jax.models``,
``mgmp_jax.training`` and ``mgmp_jax.store``, which trains the models of the experiments.
"""
