"""Batches texts with others of similar length and cuts them to a few widths.

Short texts then cost little, and a step is compiled a few times only.
"""

import numpy as np
from jaxtyping import Int

__all__ = ["bucket", "trim"]

_NUM_BUCKETS = 4


def bucket(tokens: Int[np.ndarray, "n l"]) -> Int[np.ndarray, " n"]:
    """Finds the bucket of each text: a quarter, a half, three quarters or all of the width.

    Args:
        tokens: ids, padded with 0 on the right.

    Returns:
        The width of the bucket that holds each text.
    """
    step = -(-tokens.shape[1] // _NUM_BUCKETS)
    lengths = np.count_nonzero(tokens, axis=1)
    return np.clip(-(-lengths // step) * step, step, tokens.shape[1])


def trim(tokens: Int[np.ndarray, "n l"]) -> Int[np.ndarray, "n k"]:
    """Drops the columns beyond the widest of the texts' buckets."""
    return tokens[:, : bucket(tokens).max()]
