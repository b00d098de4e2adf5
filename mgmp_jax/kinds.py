"""The kinds of responses, apart so that command lines read them without importing NumPy."""

from typing import Literal

__all__ = ["ResponseKind"]

ResponseKind = Literal[
    "logits", "log-probabilities", "probabilities", "embedding", "top-k", "labels"
]
"""What the numbers are that a model answers with."""
