"""``mgmp verify``: says of one suspect whether it is homologous."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from mgmp_jax.cli.command import (
    HOMOLOGOUS,
    INCONCLUSIVE,
    NOT_HOMOLOGOUS,
    Command,
    Outcome,
    check_places,
    check_unsigned,
)
from mgmp_jax.cli.report import frozen_at

if TYPE_CHECKING:
    from mgmp_jax.answers import Answers
    from mgmp_jax.report import Report
    from mgmp_jax.verifier import Verifier


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify(Command):
    """Verify a suspect by what it answered.

    mgmp verify verifier/ suspect.npz --report report.html --queries queries/

    Exit code 3 where one of the two questions is answered by homologous; 0 where the suspect does
    not know what the source knows; 4 where nothing can be said.
    """

    verifier: Annotated[Positional[Path], arg(metavar="VERIFIER")]
    """Folder that `mgmp fit` made."""
    suspect: Annotated[Positional[Path], arg(metavar="SUSPECT")]
    """File of answers that `mgmp record` made."""
    threshold: float = 0.9
    """The paper's δ."""
    level: float = 0.05
    """The largest p-value of a homologous suspect."""
    evidence: Path | None = None
    """File for all that a report shows, .npz, of which `mgmp report` makes pages and statements."""
    report: Path | None = None
    """Page for people, .html."""
    queries: Path | None = None
    """Folder of the frozen queries, whose date the page prints."""

    def run(self) -> Outcome:
        """Verifies it."""
        from mgmp_jax.answers import load_answers
        from mgmp_jax.stamps import now
        from mgmp_jax.statements import report_to_json
        from mgmp_jax.verifier import Verifier

        check_places(
            (self.verifier / "verifier.npz", self.suspect, self.queries),
            evidence=self.evidence,
            report=self.report,
        )
        for option, path, ending in (
            ("evidence", self.evidence, ".npz"),
            ("report", self.report, ".html"),
        ):
            if path is not None and path.suffix.lower() != ending:
                raise ValueError(f"--{option} must end in {ending}, got {path}")
            if path is not None:
                check_unsigned(path)
        if self.queries is not None and self.report is None:
            raise ValueError("--queries dates the page of --report; give both, or neither")
        created = now()
        verifier, suspect = Verifier.load(self.verifier), load_answers(self.suspect)
        if self.evidence is not None and self.evidence.exists():
            _check_same_name(self.evidence, suspect)
        limits: dict[str, Any] = {"threshold": self.threshold, "level": self.level}
        if self.evidence is None and self.report is None:
            report = verifier.verify(suspect, **limits)
        else:
            report = self._gather(verifier, suspect, created, limits)
        content = report_to_json(report, created=created, verifier=verifier.digest, **limits)
        return Outcome(str(report), content, exit_code(report))

    def _gather(
        self, verifier: Verifier, suspect: Answers, created: str, limits: dict[str, Any]
    ) -> Report:
        from mgmp_jax.evidence import gather_evidence

        evidence = gather_evidence(verifier, suspect, created=created, **limits)
        frozen = "" if self.queries is None else frozen_at(self.queries, evidence)
        if self.evidence is not None:
            evidence.save(self.evidence)
        if self.report is not None:
            from mgmp_jax.reporting import write_page

            write_page(self.report, evidence, suspect_file=self.suspect, frozen=frozen)
        return evidence.report


def _check_same_name(path: Path, suspect: Answers) -> None:
    """Refuses to put evidence in the place of that on a suspect of another name, or of whatever."""
    from mgmp_jax.evidence import Evidence

    models = suspect.values() if isinstance(suspect, Mapping) else (suspect,)
    name = next(iter(models)).model
    try:
        earlier = Evidence.load(path).report.suspect
    except ValueError as error:
        raise FileExistsError(
            f"{path} is there, and no evidence that can be read ({error}); delete it, or choose "
            "another --evidence"
        ) from error
    if earlier != name:
        raise FileExistsError(
            f"{path} is the evidence on {earlier!r}; choose another --evidence for {name!r}"
        )


def exit_code(report: Report) -> int:
    """Says a report in one number: 3 homologous, 0 not homologous, 4 inconclusive."""
    verdicts = {report.knowledge.verdict, report.lineage.verdict}
    if "homologous" in verdicts:
        return HOMOLOGOUS
    return NOT_HOMOLOGOUS if "not homologous" in verdicts else INCONCLUSIVE
