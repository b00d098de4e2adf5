"""The progress of many trainings, on a terminal or in a log."""

from __future__ import annotations

from collections.abc import Mapping

from mgmp_jax.store.plan import Outcome, Plan
from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.training.display import bars, console

__all__ = ["Board"]


class Board:
    """A bar for each process and one for all models; a line for each model that is done.

    Args:
        plan: what is trained.
        processes: how many bars there are beside the one for all models.
    """

    def __init__(self, plan: Plan, processes: int = 0) -> None:
        self._total, self._done = len(plan.needs), 0
        self._bars = bars()
        self._all = self._bars.add_task("models", total=self._total, text="")
        self._rows = [
            self._bars.add_task("", total=1, text="", visible=False) for _ in range(processes)
        ]

    def __enter__(self) -> Board:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, process: int, spec: ModelSpec) -> None:
        """Shows that a process begins with a model."""
        self._bars.reset(
            self._rows[process],
            total=spec.recipe.epochs,
            description=_short(spec),
            text="starting",
            visible=True,
        )

    def update(self, process: int, done: int, text: str) -> None:
        """Shows how many epochs of its model a process has done, and the metrics."""
        self._bars.update(self._rows[process], completed=done, text=text)

    def rest(self, process: int) -> None:
        """Shows that a process has nothing to do."""
        self._bars.update(self._rows[process], visible=False)

    def say(self, text: str) -> None:
        """Prints what a process printed."""
        console.print(text.rstrip("\n"), soft_wrap=True, markup=False)

    def finish(self, new: Mapping[ModelSpec, Outcome]) -> None:
        """Shows what became of models that are trained or given up."""
        for done, (spec, outcome) in enumerate(new.items(), self._done + 1):
            self._done = done
            if outcome.reason is None:
                self.say(f"  {done} of {self._total}  {_short(spec)}: {outcome.text}")
            else:
                self.say(f"  {done} of {self._total}  {spec.address} failed ({outcome.reason})")
        self._bars.update(self._all, completed=self._done)


def _short(spec: ModelSpec) -> str:
    return spec.address.rsplit("-", 1)[0]
