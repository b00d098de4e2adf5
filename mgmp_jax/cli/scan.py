"""``mgmp scan``: ranks many suspects."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome

if TYPE_CHECKING:
    from mgmp_jax.verifier import Verifier

_SHOWN = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scan(Command):
    """Rank many suspects, with control of the false discovery rate.

    mgmp scan verifier/ suspects/ --out scan.parquet

    Rerun to resume. Each question has a q-value of its own: a p-value adjusted for all suspects by
    Benjamini and Hochberg. Exit code 3 where one suspect has a q-value of at most --alpha.
    """

    verifier: Positional[Path]
    """Folder that `mgmp fit` made."""
    suspects: Positional[tuple[Path, ...]]
    """Files of answers, or folders of them."""
    out: Path
    """Table, .csv or .parquet; beside it a journal of what is done."""
    alpha: float = 0.05
    """False discovery rate."""
    threshold: float = 0.9
    """The paper's δ, of single verdicts."""

    def run(self) -> Outcome:
        """Verifies all suspects that are not in the journal yet."""
        from rich.console import Console
        from rich.progress import track

        from mgmp_jax import scan
        from mgmp_jax.verifier import Verifier

        if self.out.suffix not in (".csv", ".parquet"):
            raise ValueError(f"--out must end in .csv or .parquet, got {self.out}")
        verifier, suspects = Verifier.load(self.verifier), scan.find_suspects(self.suspects)
        self._say_what_is_possible(verifier, len(suspects))
        journal = self.out.with_name(self.out.name + ".journal")
        rows = scan.scan(verifier, suspects, journal, threshold=self.threshold, level=self.alpha)
        console = Console(stderr=True)
        shown = track(
            rows, "verified", len(suspects), console=console, disable=not console.is_terminal
        )
        ranked = scan.rank(list(shown))
        scan.write_table(self.out, ranked)
        found = [row for row in ranked if self._is_found(row)]
        failed = sum(row["error"] is not None for row in ranked)
        head = f"{len(found)} of {len(ranked)} found at α = {self.alpha:g}, {failed} not verified"
        lines = [self._line(row) for row in ranked[:_SHOWN]]
        about = {"table": str(self.out), "found": len(found), "failed": failed, "rows": ranked}
        return Outcome("\n".join([head, *lines, f"All: {self.out}"]), about, 3 if found else 0)

    def _say_what_is_possible(self, verifier: Verifier, suspects: int) -> None:
        from mgmp_jax.methods import FittedSiblingTest
        from mgmp_jax.scan import fewest_found

        for method in verifier.methods:
            m = len(verifier.calibration)
            models = "calibration models"
            if isinstance(method, FittedSiblingTest):
                m, models = len(method.candidates) - 1, "siblings"
            k = fewest_found(suspects, m, self.alpha)
            finds = f"finds at least {k} of {suspects} suspects, or none"
            if k > suspects:
                finds = f"can find none of {suspects} suspects"
            print(
                f"{method.question}: {m} {models} allow no p below {1 / (m + 1):.3g}; "
                f"Benjamini-Hochberg at {self.alpha:g} {finds}",
                file=sys.stderr,
            )

    def _is_found(self, row: dict[str, Any]) -> bool:
        q_values = (row["lineage_q_value"], row["knowledge_q_value"])
        return any(q is not None and q <= self.alpha for q in q_values)

    def _line(self, row: dict[str, Any]) -> str:
        if row["error"] is not None:
            return f"{row['file']}: not verified: {row['error']}"
        parts = []
        for question in ("lineage", "knowledge"):
            p, q = row[f"{question}_p_value"], row[f"{question}_q_value"]
            numbers = "" if p is None else f" (p {p:.3g}, q {q:.3g})"
            parts.append(f"{question} {row[f'{question}_verdict']}{numbers}")
        return f"{row['file']}: {'; '.join(parts)}"
