"""Checkpoints of pytrees, by Orbax: the only file that knows it."""

import errno
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

__all__ = ["Checkpoints"]


class Checkpoints:
    """Numbered checkpoints in one folder; each is written whole or not at all.

    Args:
        folder: where they lie; made when the first is saved.
        keep: how many of the newest to keep, ``None`` for all.
    """

    def __init__(self, folder: str | Path, keep: int | None = 2) -> None:
        self.folder = Path(folder).resolve()
        self._keep = keep

    def steps(self) -> list[int]:
        """Numbers of the complete checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def save(self, step: int, tree: Any) -> None:
        """Saves ``tree``, a pytree of arrays, as number ``step``, in place of an earlier one.

        Raises:
            OSError: there is not enough disk space.
        """
        tree = jax.tree.map(np.asarray, jax.device_get(tree))
        self.folder.mkdir(parents=True, exist_ok=True)
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + 2**20
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                f"a checkpoint needs {needed / 2**20:.0f} MiB and {free / 2**20:.0f} MiB are free. "
                "Make room or choose another --out, then run the same command again: it goes on "
                "from the last checkpoint",
                str(self.folder),
            )
        if step in self.steps():
            shutil.rmtree(self.folder / str(step))
        with self._manager() as manager:
            manager.save(step, args=ocp.args.StandardSave(tree), force=True)

    def restore(self, like: Any, step: int | None = None) -> Any:
        """The tree saved as ``step`` (the newest by default), as NumPy arrays.

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
        like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        try:
            with self._manager() as manager:
                tree = manager.restore(step, args=ocp.args.StandardRestore(like))
        except Exception as error:
            raise ValueError(
                f"the checkpoint {self.folder / str(step)} cannot be read: it is damaged or was "
                f"written with other settings ({_first_line(error)}). Delete that folder and run "
                "the same command again: it goes on from the checkpoint before, or starts anew"
            ) from error
        expected = jax.tree.map(np.shape, like)
        if jax.tree.map(np.shape, tree) != expected:
            raise ValueError(
                f"the checkpoint {self.folder / str(step)} holds arrays of other shapes than the "
                "model that it is read into; choose the settings that it was written with"
            )
        return tree

    def delete(self) -> None:
        """Deletes the folder with all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _manager(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, enable_async_checkpointing=False
        )
        return ocp.CheckpointManager(self.folder, options=options)


def _first_line(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"
    )
