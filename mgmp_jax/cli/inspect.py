"""``mgmp inspect``: says what a file or folder is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from mgmp_jax.cli.command import Command, Outcome

if TYPE_CHECKING:
    from mgmp_jax.answers import Answers
    from mgmp_jax.report import Report

REFERENCES = ("source.npz", "pool", "siblings", "controls", "calibration")
"""Any of these says that a folder is meant as one of recorded answers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Say what a file or folder is, and what it holds.

    mgmp inspect verifier/
    """

    path: Positional[Path]
    """Frozen queries, recorded answers or a folder of them, a verifier, evidence, a DNA file or a
    report."""

    def run(self) -> Outcome:
        """Reads it, which checks it."""
        from mgmp_jax.report import one_line

        about = self._read()
        lines = [f"{one_line(name)}: {one_line(str(value))}" for name, value in about.items()]
        return Outcome("\n".join(lines), about)

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            raise FileNotFoundError(f"no file or folder {self.path}")
        if (self.path / "queries.json").exists():
            return self._queries()
        if (self.path / "verifier.npz").exists():
            return self._verifier()
        if self.path.suffix == ".npz":
            return self._answers()
        if self.path.suffix.lower() == ".zip" or (self.path / "dna.json").exists():
            return self._dna()
        report = self.path / "report.json" if self.path.is_dir() else self.path
        if report.suffix == ".json" and report.exists():
            return self._report(report)
        if any((self.path / name).exists() for name in REFERENCES):
            return self._references()
        raise ValueError(
            f"{self.path} is none of frozen queries, recorded answers or a folder of them, "
            "evidence, a verifier, a DNA file and a report"
        )

    def _dna(self) -> dict[str, Any]:
        from mgmp_jax.archive import read_dna

        dna = read_dna(self.path)
        methods = ", ".join(method["name"] for method in dna.about["methods"])
        about = {"source": str(dna.about["source"]), "methods": methods, "digest": dna.digest}
        return {"is": "a DNA file", "created": dna.about["created"], **about}

    def _report(self, path: Path) -> dict[str, Any]:
        from mgmp_jax.statements import read_report

        content, report = read_report(path)
        return {"is": "a report", "created": content["created"], **_of_report(report)}

    def _queries(self) -> dict[str, Any]:
        from mgmp_jax.query_folder import QueryFolder

        frozen = QueryFolder.load(self.path)
        sets = {name: f"{len(q)} {q.modality}, {q.digest}" for name, q in frozen.sets.items()}
        return {"is": "frozen queries", "created": frozen.created, **sets}

    def _verifier(self) -> dict[str, Any]:
        from mgmp_jax.verifier import Verifier

        verifier = Verifier.load(self.path)
        methods = {
            question: "; ".join(
                f"{m.name}, asks {m.asks} queries"
                for m in verifier.methods
                if m.question == question
            )
            for question in dict.fromkeys(m.question for m in verifier.methods)
        }
        counts = {"models known": len(verifier.known), "calibration": len(verifier.calibration)}
        return {"is": "a verifier", **methods, **counts}

    def _references(self) -> dict[str, Any]:
        from mgmp_jax.reference_folder import read_references

        found = read_references(self.path)
        tasks = {
            f"task {pair.task}": f"{len(pair.homologous)} homologous, "
            f"{len(pair.non_homologous)} non-homologous"
            for pair in found.pool
        }
        return {
            "is": "a folder of recorded answers",
            **_of_answers(found.source, "source"),
            **tasks,
            "siblings": len(found.siblings),
            "controls": len(found.controls),
            "calibration": len(found.calibration),
        }

    def _answers(self) -> dict[str, Any]:
        from mgmp_jax import files
        from mgmp_jax.answers import load_answers
        from mgmp_jax.evidence import Evidence

        if "evidence" in str(files.read_arrays(self.path)[1].get("format")):
            return {"is": "evidence", **_of_report(Evidence.load(self.path).report)}
        return {"is": "recorded answers", **_of_answers(load_answers(self.path), "answers")}


def _of_answers(answers: Answers, name: str) -> dict[str, str]:
    """Shows answers by the names of their query sets, those of a single one by another name."""
    from mgmp_jax.responses import Responses

    named = {name: answers} if isinstance(answers, Responses) else answers
    return {name: repr(one) for name, one in named.items()}


def _of_report(report: Report) -> dict[str, str]:
    answers = (report.knowledge, report.lineage)
    return {"suspect": report.suspect, **{one.question: one.verdict for one in answers}}
