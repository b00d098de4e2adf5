"""``mgmp report``: a page and statements of evidence that was gathered before."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome, check_unsigned

if TYPE_CHECKING:
    from mgmp_jax.evidence import Evidence


@dataclasses.dataclass(frozen=True, kw_only=True)
class WriteReport(Command):
    """Write a page for people and statements for machines. Nothing is scored again.

    mgmp report evidence.npz --suspect suspect.npz --out report/

    The folder holds report.html, report.json, in-toto.json (a Statement), cyclonedx.json
    (declarations) and model-card.md.
    """

    evidence: Positional[Path]
    """File that `mgmp verify --evidence` wrote."""
    suspect: Path
    """File of the suspect's answers, whose SHA-256 is stated."""
    out: Path
    """Folder of the report."""
    queries: Path | None = None
    """Folder of the frozen queries, whose date is printed."""
    assessor: str = "the owner of the source"
    """Who verified."""

    def run(self) -> Outcome:
        """Writes all files."""
        from mgmp_jax import files, statements
        from mgmp_jax.evidence import Evidence
        from mgmp_jax.reporting import write_page

        check_unsigned(self.out)
        evidence = Evidence.load(self.evidence)
        source = evidence.source or "source"
        content = statements.report_to_json(
            evidence.report,
            created=evidence.created,
            threshold=evidence.threshold,
            level=evidence.level,
            verifier=evidence.verifier,
            ran=evidence.versions,
        )
        declared = statements.report_to_cyclonedx(content, source=source, assessor=self.assessor)
        made = {
            "report.json": content,
            "in-toto.json": statements.report_to_in_toto(content, self.suspect),
            "cyclonedx.json": declared,
        }
        frozen = "" if self.queries is None else frozen_at(self.queries, evidence)
        write_page(self.out / "report.html", evidence, suspect_file=self.suspect, frozen=frozen)
        for name, one in made.items():
            files.write_json(self.out / name, one)
        with files.replacing(self.out / "model-card.md") as unfinished:
            card = statements.report_to_model_card(content, source=source)
            unfinished.write_text(card, encoding="utf-8")
        written = ["report.html", *made, "model-card.md"]
        return Outcome(
            f"{self.out}: {', '.join(written)}", {"folder": str(self.out), "files": written}
        )


def frozen_at(folder: Path, evidence: Evidence) -> str:
    """Says when the queries were frozen that the suspect was asked."""
    from mgmp_jax.query_folder import QueryFolder

    asked = [answer.queries for answer in evidence.report.answers]
    return QueryFolder.load(folder).created_of(asked)
