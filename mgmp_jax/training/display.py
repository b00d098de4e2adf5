"""The progress of a training, on a terminal or in a log."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mgmp_jax.processes import is_first

__all__ = ["Display", "bars", "console", "tell"]

console = Console(highlight=False)
NOTHING_LEFT = "nothing left to train"
"""What is said of a training that is done already."""
_told: Callable[[str, int, int, str], None] | None = None


def tell(function: Callable[[str, int, int, str], None] | None) -> None:
    """Tells a function how far each training is, from now on, in place of showing it.

    Args:
        function: called with a training's name, its epochs done and in all, and its metrics as
            text; ``None`` shows them again.
    """
    global _told
    _told = function


def bars() -> Progress:
    """Makes progress bars that are shown on a terminal only, each with a field ``text``."""
    columns = ("{task.description}", BarColumn(20), "{task.completed}/{task.total}")
    return Progress(
        *(TextColumn(c) if isinstance(c, str) else c for c in columns),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and is_first()),
    )


@dataclasses.dataclass
class Display:
    """A progress bar on a terminal, elsewhere a line at the end; of the first process alone."""

    name: str
    epochs: int
    first: int

    def __enter__(self) -> "Display":
        self._bar, self._done = bars(), self.first
        self._task = self._bar.add_task(
            self.name, total=self.epochs, completed=self.first, text="starting"
        )
        self._text = NOTHING_LEFT
        self._bar.start()
        return self

    def update(self, row: dict[str, Any]) -> None:
        """Shows the metrics of an epoch that is done."""
        shown = {k: np.mean(v) for k, v in row.items() if k in ("loss", "accuracy")}
        self._text = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
        self._text += f"  {row['examples_per_s']:.0f} examples/s"
        self._done += 1
        self._bar.update(self._task, completed=self._done, text=self._text)
        if _told is not None:
            _told(self.name, self._done, self.epochs, self._text)

    def __exit__(self, error: object, *_: object) -> None:
        self._bar.stop()
        if error is None and _told is None and is_first():
            console.print(f"  {self.name}: {self._text}")
