"""The kinds of responses and of questions: no module here imports NumPy."""

from typing import Literal

__all__ = ["Question", "ResponseKind"]

Question = Literal["knowledge", "lineage"]
"""Does the suspect know what the source knows, or does it depend on the source's own training
run?"""

ResponseKind = Literal[
    "logits", "log-probabilities", "probabilities", "embedding", "top-k", "labels"
]
"""What the numbers are that a model answers with."""
