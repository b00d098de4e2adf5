"""What every command does: reads its command line, claims --out, writes results, stops cleanly.

Imports nothing slow. Commands import JAX inside their functions, so that ``--help`` answers at once
and an interruption is answered by a sentence from the first second on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

SCHEMA = 2
"""Of results.json."""

STOPPED = "stopped; rerun the same command to resume"
_SHOW_CURSOR = "\x1b[?25h"  # which progress bars hide
_CLAIMED: dict[Path, IO[str]] = {}
_MADE: list[Path] = []


def run(main: Callable[[Any], Any], arguments: type) -> None:
    """Calls ``main`` with the command line, which is made of the dataclass ``arguments``.

    What goes wrong is said in a sentence; where data are missing, with what else there is.
    """
    _listen()
    try:
        import tyro

        args = tyro.cli(arguments)
        if getattr(args, "distributed", False):
            _join(args)
        main(args)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        _leave()
        is_missing = isinstance(error, FileNotFoundError)
        instead = getattr(arguments, "instead", "") if is_missing else ""
        sys.exit(f"error: {error}\n{instead}".strip())


def _listen() -> None:
    """Ends the process with a sentence at Ctrl-C or SIGTERM, while it imports or is busy too.

    No exception is raised, which callbacks would swallow, and nothing is unwound under running
    threads. Nothing is lost either: files are written whole or not at all, as for ``kill -9``.
    """
    heard, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def end() -> None:
        number = 0
        while number not in (signal.SIGINT, signal.SIGTERM):
            (number,) = heard.recv(1)
        shown = _SHOW_CURSOR if sys.stderr.isatty() else ""
        print(f"{shown}{STOPPED}", file=sys.stderr, flush=True)  # noqa: T201
        wake.close()
        os._exit(128 + number)

    threading.Thread(target=end, daemon=True).start()


def _join(args: Any) -> None:
    """Joins the processes that run this command together; those after the first say nothing."""
    if args.cluster is not None or (args.jobs or 1) > 1:
        raise ValueError("processes of --distributed train together: leave out --jobs, --cluster")
    from mgmp_jax import processes, training

    try:
        processes.start_processes()
    except RuntimeError as error:
        raise OSError(
            f"the processes cannot join ({str(error)[:300]}); start all of them"
        ) from error
    training.console.quiet = not processes.is_first()


def claim(out: Path) -> None:
    """Takes ``out`` for this process as long as it lives, and keeps there what XLA compiles.

    Of processes that run together the first takes it.

    Raises:
        OSError: another process has it, or it cannot be written.
    """
    import jax

    from mgmp_jax.processes import first_alone, first_says
    from mgmp_jax.training import num_cores, use_cores

    if not jax.distributed.is_initialized():
        use_cores(num_cores())
    out = out.resolve()
    if not first_says(out in _CLAIMED):
        first_alone(lambda: _take(out))
    cache = {
        "jax_compilation_cache_dir": str(out / ".jax_cache"),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    for setting, value in cache.items():
        if setting.upper() not in os.environ:
            jax.config.update(setting, value)
    logging.getLogger("absl").setLevel(logging.ERROR)


def _take(out: Path) -> None:
    """Locks a folder, which is made if it is not there, until this process ends."""
    from mgmp_jax import folders

    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    folders.make(out)
    _MADE.extend(made)
    lock = (out / ".lock").open("a")
    try:
        _lock(lock)
    except (BlockingIOError, PermissionError) as error:
        lock.close()
        raise OSError(
            f"another command is using {out}; wait for it or choose another --out"
        ) from error
    _CLAIMED[out] = lock


def _lock(file: IO[str]) -> None:
    """Locks a file until this process ends, by what the platform has."""
    try:
        import fcntl
    except ImportError:
        msvcrt: Any = importlib.import_module("msvcrt")
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _leave() -> None:
    """Takes away the folders that :func:`claim` made and nothing was written to."""
    for out, lock in _CLAIMED.items():
        if out in _MADE and [path.name for path in out.iterdir()] == [".lock"]:
            lock.close()
            (out / ".lock").unlink()
    for folder in _MADE:
        with contextlib.suppress(OSError):
            folder.rmdir()


def open_store(args: Any, **more: Any) -> Any:
    """Opens the models under ``--out``, which it claims, made of data in ``--data-dir``."""
    from mgmp_jax.store import ModelStore

    claim(args.out)
    return ModelStore(args.out / "models", args.data_dir, download=True, **more)


def settings(args: Any) -> dict[str, Any]:
    """Collects all arguments but where things lie, and by whom models are trained."""
    everything = dataclasses.asdict(args)
    places = ("data_dir", "out", "pretrained", "recorded")
    left_out = (*places, "jobs", "cluster", "num_gpus", "distributed")
    return {k: v for k, v in everything.items() if k not in left_out}


def address(name: str, what: Any) -> str:
    """Names a folder uniquely for all that decides a result: dataclasses, numbers and words."""
    from mgmp_jax.store.spec import fields

    text = json.dumps(what, sort_keys=True, default=fields)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def results_of(
    experiment: str, folder: Path, args: Any, make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Reads ``results.json`` of a folder; makes and writes it where it is not there yet."""
    from mgmp_jax import files
    from mgmp_jax.processes import first_says

    path = folder / "results.json"
    if not first_says(path.is_file()):
        start = time.perf_counter()
        results = {**make(), "settings": settings(args)}
        write_results(experiment, path, results, wall_time_s=round(time.perf_counter() - start, 1))
    return files.read_json(path)


def write_results(experiment: str, path: Path, results: dict[str, Any], **ran: Any) -> None:
    """Writes results with the experiment's name and what ran."""
    from mgmp_jax import files, reporting
    from mgmp_jax.processes import first_alone

    about = {"experiment": experiment, "schema": SCHEMA}
    whole = {**about, **results, "run": {**reporting.environment(), **ran}}
    first_alone(lambda: files.write_json(path, whole))


def draw_picture(plot: Callable[..., object], path: Path, *given: Any, **more: Any) -> None:
    """Draws a picture, where several processes run together in the first."""
    from mgmp_jax.processes import first_alone

    first_alone(lambda: plot(path, *given, **more))


def show(table: str, folder: Path, *files: str) -> None:
    """Prints a table in Markdown, and where a command's files are."""
    from rich.markdown import Markdown

    from mgmp_jax.training import console

    console.print(Markdown(table))
    console.print("Files: " + ", ".join(str(folder / name) for name in files), soft_wrap=True)
