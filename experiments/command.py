"""What every script of this folder does with its command line."""

import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import tyro

from mgmp_jax import files, reporting
from mgmp_jax.pool import Pool


def settings(args: Any) -> dict[str, Any]:
    """All arguments but where things lie."""
    everything = dataclasses.asdict(args)
    return {k: v for k, v in everything.items() if k not in ("data_dir", "out", "pretrained")}


def address(name: str, what: Any) -> str:
    """A folder's name, unique to ``what``: dataclasses, numbers and words that decide a result."""
    text = json.dumps(what, sort_keys=True, default=dataclasses.asdict)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def write_results(
    folder: Path, results: Mapping[str, Any], settings: Mapping[str, Any], start: float, found: int
) -> None:
    """Writes ``results.json``: what came out, what was asked for, and where it ran.

    Args:
        folder: of the file.
        results: what came out.
        settings: what was asked for.
        start: of the run, by ``time.perf_counter``.
        found: how many of its models had been trained before.
    """
    run = {
        **reporting.environment(),
        "wall_time_s": round(time.perf_counter() - start, 1),
        "models_trained_before": found,
    }
    files.write_json(folder / "results.json", {**results, "settings": settings, "run": run})


_LOCKS: dict[Path, int] = {}


def claim(out: Path) -> None:
    """Takes ``out`` for this process as long as it lives, and keeps there what XLA compiles.

    Raises:
        OSError: another process has it, or it cannot be written.
    """
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(out / ".jax_cache"))
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() in _LOCKS:
        return
    lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(
            f"another command is using {out}; wait for it or choose another --out"
        ) from error
    _LOCKS[out.resolve()] = lock
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    logging.getLogger("absl").setLevel(logging.ERROR)


def open_pool(args: Any) -> Pool:
    """The models under ``--out``, which this process takes, made of the data in ``--data-dir``.

    Raises:
        OSError: as :func:`claim`.
    """
    claim(args.out)
    return Pool(args.out / "models", args.data_dir, download=True)


def run(main: Callable[[Any], Any], arguments: type) -> None:
    """Calls ``main`` with the command line; a wrong one ends in one line that says why."""
    try:
        main(tyro.cli(arguments))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
