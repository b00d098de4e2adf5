"""Kinds of responses and of questions, apart so that command lines do not wait for NumPy."""

from typing import Any, Literal, get_args

__all__ = ["Question", "ResponseKind", "check_is_kind"]

Question = Literal["knowledge", "lineage"]
"""Does the suspect know what the source knows, or does it depend on the source's own training
run?"""

ResponseKind = Literal[
    "logits", "log-probabilities", "probabilities", "embedding", "top-k", "labels"
]
"""What the numbers are that a model answers with."""


def check_is_kind(kind: Any) -> None:
    """Raises a ``ValueError`` unless ``kind`` is a :data:`ResponseKind`."""
    if kind not in get_args(ResponseKind):
        raise ValueError(f"kind must be one of {get_args(ResponseKind)}, got {kind!r}")
