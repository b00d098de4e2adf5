"""Where a training keeps how far it is."""

import json
from pathlib import Path
from typing import Any

from mgmp_jax.checkpoint import Checkpoints

__all__ = ["RunFolder"]


class RunFolder:
    """Where a training keeps its metrics (``metrics.jsonl``) and checkpoints (``state/``)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._metrics, self._checkpoints = folder / "metrics.jsonl", Checkpoints(folder / "state")

    def resume(self, state: TrainState) -> tuple[int, TrainState]:
        """How many epochs are done, and the state after them, or the one given."""
        done = self._checkpoints.steps()
        first = done[-1] if done else 0
        if self._metrics.exists():  # without lines of epochs whose checkpoint was never finished
            lines = self._metrics.read_text().splitlines(keepends=True)[:first]
            self._metrics.write_text("".join(lines))
        return first, self._checkpoints.restore(state) if done else state

    def keep(self, row: dict[str, Any], state: TrainState) -> None:
        """Keeps an epoch's metrics and the state after it."""
        with self._metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self._checkpoints.save(row["epoch"], state)
