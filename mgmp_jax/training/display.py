"""The progress of a training, on a terminal or in a log."""

import dataclasses
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Display", "console"]

console = Console(highlight=False)


@dataclasses.dataclass
class Display:
    """A progress bar on a terminal; elsewhere a line at the end."""

    name: str
    epochs: int
    first: int

    def __enter__(self) -> "Display":
        columns = ("{task.description}", BarColumn(20), "{task.completed}/{task.total}")
        self._bar = Progress(
            *(TextColumn(c) if isinstance(c, str) else c for c in columns),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            self.name, total=self.epochs, completed=self.first, text="starting"
        )
        self._text = "nothing left to train"
        self._bar.start()
        return self

    def update(self, row: dict[str, Any]) -> None:
        """Shows the metrics of an epoch that is done."""
        shown = {k: np.mean(v) for k, v in row.items() if k in ("loss", "accuracy")}
        self._text = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
        self._text += f"  {row['examples_per_s']:.0f} examples/s"
        self._bar.update(self._task, advance=1, text=self._text)

    def __exit__(self, error: object, *_: object) -> None:
        self._bar.stop()
        if error is None:
            console.print(f"  {self.name}: {self._text}")
