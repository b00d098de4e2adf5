"""Where a training keeps how far it has come."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mgmp_jax import files, folders
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.processes import first_alone, is_first
from mgmp_jax.training.display import console

__all__ = ["RunFolder", "StackedRunFolder"]


class RunFolder:
    """Keeps the metrics (``metrics.jsonl``) and the last two states (``state/``) of a training.

    Args:
        folder: where they lie; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._checkpoints = Checkpoints(folder / "state")
        self._metrics = folder / "metrics.jsonl"
        first_alone(lambda: folders.make(folder))

    def resume(self, state: Any) -> tuple[int, Any]:
        """Finds where to go on: at the newest checkpoint that is sound.

        Args:
            state: the state before the first epoch.

        Returns:
            How many epochs are done, and the state after them.

        Raises:
            ValueError: there are checkpoints, and none of them can be read.
        """
        first, state = self._newest_sound(state)
        first_alone(lambda: self._keep_first(first))
        return first, state

    def keep(self, row: dict[str, Any], state: Any | None) -> None:
        """Keeps an epoch's metrics and the state after it, if it is given."""
        first_alone(lambda: self._append(row))
        if state is not None:
            self._checkpoints.save(row["epoch"], state)

    def steps(self) -> list[int]:
        """Lists the epochs after which a state is kept."""
        return self._checkpoints.steps()

    def keep_only(self, steps: Collection[int]) -> None:
        """Deletes the states after other epochs."""
        for step in set(self.steps()) - set(steps):
            self._checkpoints.delete(step)

    def _append(self, row: dict[str, Any]) -> None:
        with files.naming(self._metrics), self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _keep_first(self, epochs: int) -> None:
        """Keeps the metrics of the first ``epochs`` epochs."""
        if self._metrics.is_file():
            kept = _sound_lines(self._metrics.read_bytes(), epochs)
            with files.replacing(self._metrics) as unfinished:
                unfinished.write_bytes(b"".join(line + b"\n" for line in kept))

    def _newest_sound(self, state: Any) -> tuple[int, Any]:
        damaged: list[tuple[int, ValueError]] = []
        for step in reversed(self._checkpoints.steps()):
            try:
                restored = self._checkpoints.restore(state, step)
            except ValueError as error:
                damaged.append((step, error))
                continue
            for bad, _ in damaged:
                if is_first():
                    console.print(
                        f"  the checkpoint after epoch {bad} is damaged: deleted, resumes from "
                        f"epoch {step}",
                        soft_wrap=True,
                    )
                self._checkpoints.delete(bad)
            return step, restored
        if damaged:
            raise damaged[0][1]
        return 0, state


class StackedRunFolder:
    """Keeps the same of a stack of models, each in a folder as if it were trained alone.

    Args:
        folders: one for each model.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._each = [RunFolder(folder) for folder in folders]

    def resume(self, state: Any) -> tuple[int, Any]:
        """Finds where all go on: at the newest sound checkpoint that all have.

        What some have beyond it is deleted: a training that was cut off left it.

        Args:
            state: the stacked state before the first epoch.

        Returns:
            How many epochs are done, and the stacked state after them.

        Raises:
            ValueError: a model has checkpoints, and none of them can be read.
        """
        states = self._unstack(state)
        while True:
            shared = set.intersection(*(set(each.steps()) for each in self._each))
            for each in self._each:
                each.keep_only(shared)
            resumed = [each.resume(own) for each, own in zip(self._each, states, strict=True)]
            firsts = {first for first, _ in resumed}
            if len(firsts) == 1:
                return firsts.pop(), jax.tree.map(lambda *x: np.stack(x), *(s for _, s in resumed))

    def keep(self, row: dict[str, Any], state: Any | None) -> None:
        """Keeps an epoch's metrics and the stacked state after it, if it is given."""
        states = [None] * len(self._each) if state is None else self._unstack(state)
        for i, (each, own) in enumerate(zip(self._each, states, strict=True)):
            of_model = {k: v[i] if isinstance(v, list) else v for k, v in row.items()}
            each.keep(of_model, own)

    def _unstack(self, state: Any) -> list[Any]:
        state = jax.device_get(state)
        return [
            jax.tree.map(lambda x, i=i: np.asarray(x[i]), state) for i in range(len(self._each))
        ]


def _sound_lines(raw: bytes, epochs: int) -> list[bytes]:
    """Selects one line for each of the first ``epochs`` epochs, of those that can be read."""
    lines: dict[int, bytes] = {}
    for line in raw.splitlines():
        try:
            epoch = json.loads(line)["epoch"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if type(epoch) is int and 1 <= epoch <= epochs:
            lines[epoch] = line.strip()
    return [lines[epoch] for epoch in sorted(lines)]
