"""``mgmp report``: makes a page of evidence that was gathered before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Make a page for people of gathered evidence. Nothing is scored again.

    mgmp report evidence.npz --out report.html --suspect suspect.npz --queries queries/
    """

    evidence: Positional[Path]
    """File that `mgmp verify --evidence` wrote."""
    out: Path
    """The page, .html."""
    suspect: Path | None = None
    """File of the suspect's answers, whose SHA-256 is printed."""
    queries: Path | None = None
    """Folder of the frozen queries, whose date is printed."""

    def run(self) -> Outcome:
        """Writes the page."""
        from mgmp_jax.evidence import Evidence
        from mgmp_jax.query_folder import QueryFolder
        from mgmp_jax.reporting import write_page

        evidence = Evidence.load(self.evidence)
        frozen = "" if self.queries is None else QueryFolder.load(self.queries).created
        write_page(self.out, evidence, suspect_file=self.suspect, frozen=frozen)
        return Outcome(f"Written: {self.out}", {"page": str(self.out)})
