"""What every command of this folder does: read its command line, claim --out, write results."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SCHEMA = 2
"""Of results.json."""


def settings(args: Any) -> dict[str, Any]:
    """All arguments but where things lie."""
    everything = dataclasses.asdict(args)
    return {k: v for k, v in everything.items() if k not in ("data_dir", "out", "pretrained")}


def address(name: str, what: Any) -> str:
    """A folder's name, unique to ``what``: dataclasses, numbers and words that decide a result."""
    text = json.dumps(what, sort_keys=True, default=dataclasses.asdict)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def results_of(
    experiment: str, folder: Path, args: Any, make: Callable[[], tuple[dict[str, Any], int]]
) -> dict[str, Any]:
    """Reads ``results.json`` of a folder; makes and writes it where it is not there yet.

    Args:
        experiment: the command's name.
        folder: of the file.
        args: what was asked for.
        make: gives what came out, and how many of its models had been trained before.
    """
    from mgmp_jax import files, reporting

    path = folder / "results.json"
    if not path.is_file():
        start = time.perf_counter()
        results, found = make()
        run = {
            **reporting.environment(),
            "wall_time_s": round(time.perf_counter() - start, 1),
            "models_trained_before": found,
        }
        about = {"experiment": experiment, "schema": SCHEMA}
        files.write_json(path, {**about, **results, "settings": settings(args), "run": run})
    return files.read_json(path)


_LOCKS: dict[Path, Any] = {}


def claim(out: Path) -> None:
    """Takes ``out`` for this process as long as it lives, and keeps there what XLA compiles.

    Raises:
        OSError: another process has it, or it cannot be written.
    """
    import jax

    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() in _LOCKS:
        return
    lock = (out / ".lock").open("a")
    with contextlib.suppress(ImportError):  # where there are no such locks, nobody is kept out
        import fcntl

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"another command is using {out}; wait for it or choose another --out"
            ) from error
    _LOCKS[out.resolve()] = lock
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(out / ".jax_cache"))
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    logging.getLogger("absl").setLevel(logging.ERROR)


def open_store(args: Any, **more: Any) -> Any:
    """Opens the models under ``--out``, which this process takes, made of data in ``--data-dir``.

    Raises:
        OSError: as :func:`claim`.
    """
    from mgmp_jax.store import ModelStore

    claim(args.out)
    return ModelStore(args.out / "models", args.data_dir, download=True, **more)


def print_table(title: str, columns: Mapping[str, Any] | list[str], rows: Any) -> None:
    """Prints a table."""
    from rich.table import Table

    from mgmp_jax.training import console

    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_files(folder: Path, *names: str) -> None:
    """Says where a command's files are."""
    from mgmp_jax.training import console

    console.print("Files: " + ", ".join(str(folder / name) for name in names), soft_wrap=True)


def run(main: Callable[[Any], Any], arguments: type) -> None:
    """Calls ``main`` with the command line; a wrong one ends in a sentence that says why."""
    import tyro

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(tyro.cli(arguments))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; rerun the same command to resume")
