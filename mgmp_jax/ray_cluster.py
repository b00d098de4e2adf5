"""A Ray cluster, for as long as something runs on it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

__all__ = ["connected"]


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connects to a cluster, unless this process already is.

    Ray's usage statistics are off.

    Args:
        address: of the cluster; ``"ray"`` starts Ray on this machine for as long as the block runs.

    Yields:
        The module ``ray``.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: there is no such cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ImportError("a cluster needs Ray: pip install 'mgmp_jax[ray]'") from error
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            _connect(ray, address)
        yield ray
    finally:
        if is_ours:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    with warnings.catch_warnings():  # Ray forks for the blink of an eye, then starts a program
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        ray.init(
            address="local" if address == "ray" else address,
            include_dashboard=False if address == "ray" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
