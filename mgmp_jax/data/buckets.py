"""Texts of unequal length: batched with their like and cut to a few widths, so short ones cost
little and a step is compiled a few times only.
"""

import numpy as np

__all__ = ["bucket", "trim"]

_NUM_BUCKETS = 4


def bucket(tokens: np.ndarray) -> np.ndarray:
    """For each text the width of the bucket that holds it, a quarter, half, ... of all, ``[n]``.

    Args:
        tokens: ids, ``[n, l]``, padded with 0 on the right.
    """
    step = -(-tokens.shape[1] // _NUM_BUCKETS)
    lengths = np.count_nonzero(tokens, axis=1)
    return np.clip(-(-lengths // step) * step, step, tokens.shape[1])


def trim(tokens: np.ndarray) -> np.ndarray:
    """The texts without the columns beyond the widest of their buckets."""
    return tokens[:, : bucket(tokens).max()]
