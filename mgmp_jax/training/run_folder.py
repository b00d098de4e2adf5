"""Where a training keeps how far it has come."""

import json
from pathlib import Path
from typing import Any

from mgmp_jax import files
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.training.display import console

__all__ = ["RunFolder"]


class RunFolder:
    """Keeps the metrics (``metrics.jsonl``) and the last two states (``state/``) of a training.

    Args:
        folder: where they lie; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._checkpoints = Checkpoints(folder / "state")
        self._metrics = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)

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
        if self._metrics.is_file():
            kept = _sound_lines(self._metrics.read_bytes(), first)
            with files.replacing(self._metrics) as unfinished:
                unfinished.write_bytes(b"".join(line + b"\n" for line in kept))
        return first, state

    def keep(self, row: dict[str, Any], state: Any) -> None:
        """Keeps an epoch's metrics and the state after it."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._checkpoints.save(row["epoch"], state)

    def _newest_sound(self, state: Any) -> tuple[int, Any]:
        damaged: list[tuple[int, ValueError]] = []
        for step in reversed(self._checkpoints.steps()):
            try:
                restored = self._checkpoints.restore(state, step)
            except ValueError as error:
                damaged.append((step, error))
                continue
            for bad, _ in damaged:
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
