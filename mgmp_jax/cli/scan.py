"""``mgmp scan``: ranks many suspects."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from mgmp_jax.cli.command import HOMOLOGOUS, INCONCLUSIVE, Command, Outcome, check_places

if TYPE_CHECKING:
    from mgmp_jax.verifier import Verifier

_QUESTIONS = ("lineage", "knowledge")
_SHOWN = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scan(Command):
    """Rank many suspects, with control of the false discovery rate.

    mgmp scan verifier/ suspects/ --out scan.parquet

    Rerun to resume. Each question has a q-value of its own: a p-value adjusted for all suspects by
    Benjamini and Hochberg, where each that is not homologous counts as p = 1. Found is a suspect
    with the verdict homologous and a q-value of at most --alpha. Exit code 3 where one is found, to
    either question; 4 where none is and a file could not be verified; else 0.
    """

    verifier: Positional[Path]
    """Folder that `mgmp fit` made."""
    suspects: Positional[tuple[Path, ...]]
    """Files of answers, tables of many (.parquet), or folders of both."""
    out: Path
    """Table, .csv or .parquet; beside it a journal of what is done."""
    alpha: float = 0.05
    """False discovery rate, of each question."""
    threshold: float = 0.9
    """The paper's δ, of single verdicts."""
    level: float = 0.05
    """The largest p-value of a single verdict homologous."""
    cluster: str | None = None
    """Address of a Ray cluster that sees the files under the same paths; ray for this machine."""

    def run(self) -> Outcome:
        """Verifies all suspects that are not in the journal yet."""
        from rich.console import Console
        from rich.progress import track

        from mgmp_jax import scan
        from mgmp_jax.verifier import Verifier

        if not 0 < self.alpha < 1:
            raise ValueError(f"--alpha must be between 0 and 1, got {self.alpha}")
        if self.out.suffix not in (".csv", ".parquet"):
            raise ValueError(f"--out must end in .csv or .parquet, got {self.out}")
        verifier, suspects = Verifier.load(self.verifier), scan.find_suspects(self.suspects)
        check_places((portion.path for portion in suspects), out=self.out)
        count = sum(portion.count for portion in suspects)
        self._say_what_is_possible(verifier, count)
        journal = self.out.with_name(self.out.name + ".journal")
        rows = scan.scan(
            verifier,
            suspects,
            journal,
            threshold=self.threshold,
            level=self.level,
            cluster=self.cluster,
        )
        console = Console(stderr=True)
        shown = track(rows, "verified", count, console=console, disable=not console.is_terminal)
        ranked = scan.rank(list(shown))
        scan.write_table(self.out, ranked)
        found = {q: sum(self._is_found(row, q) for row in ranked) for q in _QUESTIONS}
        failed = sum(row["error"] is not None for row in ranked)
        head = [f"{q}: {n} of {len(ranked)} found at α = {self.alpha:g}" for q, n in found.items()]
        lines = [*head, f"{failed} not verified", *map(self._line, ranked[:_SHOWN])]
        about = {"table": str(self.out), "found": found, "failed": failed, "rows": ranked}
        code = HOMOLOGOUS if any(found.values()) else INCONCLUSIVE if failed else 0
        return Outcome("\n".join([*lines, f"All: {self.out}"]), about, code)

    def _say_what_is_possible(self, verifier: Verifier, suspects: int) -> None:
        from mgmp_jax.methods import FittedSiblingTest
        from mgmp_jax.scan import fewest_found

        for method in verifier.methods:
            m = len(verifier.calibration)
            models = "calibration models"
            if isinstance(method, FittedSiblingTest):
                m, models = len(method.candidates) - 1, "siblings"
            k = fewest_found(suspects, m, self.alpha)
            finds = f"finds at least {k} of {suspects} suspects, or none, if all can be verified"
            if k > suspects:
                finds = f"can find none of {suspects} suspects, if all can be verified"
            print(
                f"{method.question}: {m} {models} allow no p below {1 / (m + 1):.3g}; "
                f"Benjamini-Hochberg at {self.alpha:g} {finds}",
                file=sys.stderr,
            )

    def _is_found(self, row: dict[str, Any], question: str) -> bool:
        q = row[f"{question}_q_value"]
        return q is not None and q <= self.alpha * (1 + 1e-9)  # rounded when it was computed

    def _line(self, row: dict[str, Any]) -> str:
        from mgmp_jax.report import one_line

        if row["error"] is not None:
            return f"{one_line(row['file'])}: not verified: {one_line(row['error'])}"
        parts = []
        for question in _QUESTIONS:
            p, q = row[f"{question}_p_value"], row[f"{question}_q_value"]
            numbers = "" if p is None else f" (p {p:.3g}, q {q:.3g})"
            parts.append(f"{question} {row[f'{question}_verdict']}{numbers}")
        return f"{one_line(row['file'])}: {'; '.join(parts)}"
