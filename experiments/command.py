"""What every script of this folder does with its command line."""

import dataclasses
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import tyro


def settings(args: Any) -> dict[str, Any]:
    """All arguments but where things lie."""
    everything = dataclasses.asdict(args)
    return {k: v for k, v in everything.items() if k not in ("data_dir", "out", "pretrained")}


def keep_compilations(out: Path) -> None:
    """Keeps what XLA compiles, beside the models in ``out``."""
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(out / ".jax_cache"))
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    logging.getLogger("absl").setLevel(logging.ERROR)


def run(main: Callable[[Any], Any], arguments: type) -> None:
    """Calls ``main`` with the command line; a wrong one ends in one line that says why."""
    try:
        main(tyro.cli(arguments))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
