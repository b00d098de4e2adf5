"""Checkpoints of pytrees, by Orbax: the only file that knows it."""

import contextlib
import errno
import hashlib
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from mgmp_jax import folders
from mgmp_jax.processes import first_alone

__all__ = ["Checkpoints", "check_finite"]


class Checkpoints:
    """Numbered checkpoints in one folder; each is written whole or not at all.

    The SHA-256 of every array is kept with it and compared when it is read. Of several processes
    that train together the first writes and deletes while the others wait, and all read: any
    number of processes can go on from it.

    Args:
        folder: where they lie; made when the first is saved.
        keep: how many of the newest to keep, ``None`` for all.

    Raises:
        ValueError: checkpoints cannot be kept in that folder.
    """

    def __init__(self, folder: str | Path, keep: int | None = 2) -> None:
        self.folder = Path(folder).resolve()
        self._keep = keep
        # Orbax takes [ for a pattern, \ for a separator and gs: for a bucket.
        found = [bad for bad in ("[", "\\", "gs:/") if bad in f"{self.folder.as_posix()}/"]
        if found:
            raise ValueError(
                f"checkpoints cannot be kept in {self.folder}, because its path contains "
                f"{found[0].rstrip('/')!r}; choose a folder without it"
            )

    def steps(self) -> list[int]:
        """Lists the numbers of the complete checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir() if path.is_dir()]
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal())

    def save(self, step: int, tree: Any) -> None:
        """Saves ``tree``, a pytree of arrays, as number ``step``, in place of an earlier one.

        Raises:
            FloatingPointError: a number is not finite.
            OSError: there is not enough disk space, or the disk refuses it otherwise.
        """
        tree = jax.tree.map(np.asarray, jax.device_get(tree))
        check_finite(tree, step)
        first_alone(lambda: self._write(step, tree))

    def _write(self, step: int, tree: Any) -> None:
        folders.make(self.folder)
        self._check_space(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + 2**20)
        if step in self.steps():
            self._remove(step)
        items = ocp.args.Composite(
            arrays=ocp.args.StandardSave(tree), digests=ocp.args.JsonSave(_digests(tree))
        )
        try:
            with _raised_once(), self._manager() as manager:
                manager.save(step, args=items, force=True)
        except (OSError, ValueError, RuntimeError) as error:  # Orbax's, of what a disk refused
            raise OSError(
                f"the checkpoint {self.folder / str(step)} cannot be written "
                f"({_first_line(error)}); others stay, run this again where it can be"
            ) from error

    def restore(self, like: Any, step: int | None = None) -> Any:
        """Reads the tree saved as ``step`` (the newest by default), as NumPy arrays.

        Args:
            like: a pytree with the structure, shapes and dtypes that are expected.
            step: one of :meth:`steps`.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            ValueError: it is damaged, or its structure or shapes are not those of ``like``.
        """
        steps = self.steps()
        step = steps[-1] if step is None and steps else step
        if step not in steps:
            raise FileNotFoundError(f"no checkpoint {step} in {self.folder}; there are {steps}")
        odd = [path for path in self.folder.rglob("*") if not (path.is_file() or path.is_dir())]
        if odd:  # Orbax reads something of all steps, and would wait for a pipe for ever
            raise ValueError(f"checkpoints cannot be read: {odd[0]} is no regular file; delete it")
        like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        items = ocp.args.Composite(
            arrays=ocp.args.StandardRestore(like), digests=ocp.args.JsonRestore()
        )
        try:
            with _raised_once(), self._manager() as manager:
                found = manager.restore(step, args=items)
            tree, digests = found["arrays"], dict(found["digests"])
        except Exception as error:
            raise self._damaged(step, _first_line(error)) from error
        expected = jax.tree.map(np.shape, like)
        if jax.tree.map(np.shape, tree) != expected:
            raise ValueError(
                f"the checkpoint {self.folder / str(step)} holds arrays of other shapes than the "
                "model that it is read into; choose the settings that it was written with"
            )
        self._check_sound(step, tree, digests)
        return tree

    def delete(self, step: int | None = None) -> None:
        """Deletes one checkpoint, or the folder with all of them."""
        first_alone(lambda: self._remove(step))

    def _remove(self, step: int | None) -> None:
        folder = self.folder if step is None else self.folder / str(step)
        shutil.rmtree(folder, ignore_errors=True)

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                f"a checkpoint needs {needed / 2**20:.0f} MiB and {free / 2**20:.0f} MiB are free. "
                "Make room or choose another --out, then rerun the same command: it resumes from "
                "the last checkpoint",
                str(self.folder),
            )

    def _check_sound(self, step: int, tree: Any, digests: dict[str, str]) -> None:
        wrong = [name for name, digest in _digests(tree).items() if digests.get(name) != digest]
        if wrong:
            raise self._damaged(step, f"the array {wrong[0]} is not what was written")
        not_finite = _not_finite(tree)
        if not_finite:
            raise self._damaged(step, f"the array {not_finite} is not finite")

    def _damaged(self, step: int, why: str) -> ValueError:
        return ValueError(
            f"the checkpoint {self.folder / str(step)} cannot be read: it is damaged or was "
            f"written with other settings ({why}). Delete that folder and rerun the same "
            "command: it resumes from the checkpoint before, or starts anew"
        )

    def _manager(self) -> ocp.CheckpointManager:
        # Without these Orbax waits for all processes: here each reads, or the first writes, alone.
        own = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep,
            enable_async_checkpointing=False,
            create=False,
            multiprocessing_options=alone,
        )
        return ocp.CheckpointManager(self.folder, options=options, item_names=("arrays", "digests"))


def _digests(tree: Any) -> dict[str, str]:
    """Computes the SHA-256 of dtype, shape and bytes of every array, by its place in the tree."""
    digests = {}
    for place, leaf in jax.tree.leaves_with_path(tree):
        array = np.asarray(leaf)
        digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
        digests[jax.tree_util.keystr(place)] = digest.hexdigest()
    return digests


def check_finite(tree: Any, step: int) -> None:
    """Raises ``FloatingPointError`` where an array of a pytree holds a number that is not finite.

    Args:
        tree: of a training.
        step: after how many steps.
    """
    not_finite = _not_finite(tree)
    if not_finite:
        raise FloatingPointError(
            f"the array {not_finite} holds numbers that are not finite after step {step}: the "
            "training diverged; lower the learning rate"
        )


def _not_finite(tree: Any) -> str | None:
    """Finds the first array that holds a number that is not finite."""
    for place, leaf in jax.tree.leaves_with_path(tree):
        if jnp.issubdtype(np.asarray(leaf).dtype, np.inexact) and not np.isfinite(leaf).all():
            return jax.tree_util.keystr(place)
    return None


@contextlib.contextmanager
def _raised_once() -> Iterator[None]:
    """Lets Orbax's threads not log what Orbax raises anyway, nor TensorStore's late callbacks."""
    log, before = logging.getLogger("absl"), sys.unraisablehook

    def is_told(record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname

    def hook(found: Any) -> None:
        if str(found.exc_value) != "Event loop is closed":
            before(found)

    log.addFilter(is_told)
    sys.unraisablehook = hook
    try:
        yield
        sys.unraisablehook = before  # stays after a failure, since callbacks come later
    finally:
        log.removeFilter(is_told)


def _first_line(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"
    )
