"""``mgmp verify``: says of one suspect whether it is homologous."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from mgmp_jax.cli.command import HOMOLOGOUS, INCONCLUSIVE, NOT_HOMOLOGOUS, Command, Outcome

if TYPE_CHECKING:
    from mgmp_jax.report import Report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify(Command):
    """Verify a suspect by what it answered.

    mgmp verify verifier/ suspect.npz

    Exit code 3 where one of the two questions is answered by homologous; 0 where the suspect does
    not know what the source knows; 4 where nothing can be said.
    """

    verifier: Positional[Path]
    """Folder that `mgmp fit` made."""
    suspect: Positional[Path]
    """File of answers that `mgmp record` made."""
    threshold: float = 0.9
    """The paper's δ."""
    level: float = 0.05
    """The largest p-value of a homologous suspect."""

    def run(self) -> Outcome:
        """Verifies it."""
        from mgmp_jax.answers import load_answers
        from mgmp_jax.verifier import Verifier

        report = Verifier.load(self.verifier).verify(
            load_answers(self.suspect), threshold=self.threshold, level=self.level
        )
        return Outcome(str(report), dataclasses.asdict(report), exit_code(report))


def exit_code(report: Report) -> int:
    """Says a report in one number: 3 homologous, 0 not homologous, 4 inconclusive."""
    verdicts = {report.knowledge.verdict, report.lineage.verdict}
    if "homologous" in verdicts:
        return HOMOLOGOUS
    return NOT_HOMOLOGOUS if "not homologous" in verdicts else INCONCLUSIVE
