"""The methods that a :class:`mgmp_jax.verifier.Verifier` is made of."""

from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR, MGMPConfig
from mgmp_jax.methods.choice import CANDIDATES, ChosenMGMP, LeftOut
from mgmp_jax.methods.mgmp import MGMP, Fit, fit_together
from mgmp_jax.methods.mgmp_fitted import FittedMGMP
from mgmp_jax.methods.protocol import Fitted, Kept, Method
from mgmp_jax.methods.sibling_test import FittedSiblingTest, SiblingTest
from mgmp_jax.methods.similarity import FittedSimilarity, Similarity

__all__ = [
    "CANDIDATES",
    "EXTENDED",
    "MGMP",
    "PAPER",
    "PAPER_WITHOUT_GENERATOR",
    "ChosenMGMP",
    "Fit",
    "Fitted",
    "FittedMGMP",
    "FittedSiblingTest",
    "FittedSimilarity",
    "Kept",
    "LeftOut",
    "MGMPConfig",
    "Method",
    "SiblingTest",
    "Similarity",
    "fit_together",
]
